"""Trains one member for a while and prints a line of JSON: tokens/s, page faults, memory.

`tests.bench.politeness` starts it, because variables of the allocator must be set before Python starts.

python -m tests.bench.steps FOLDER SECONDS
"""

import json
import resource
import sys
import time
from pathlib import Path

import psutil
import torch

from cellmind_agent.planning.ledger import Ledger
from model.config_file import load_config
from model.data import PackedData
from model.device import choose_threads
from model.line.training import Span
from model.meeting.group import Group
from model.trainer import Trainer
from tokenizer.sharding.manifest import read_manifest

WARM_UP_STEPS = 2


def main() -> int:
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    config, manifest = load_config(folder / "cellmind.json"), read_manifest(folder / "manifest.json")
    torch.set_num_threads(choose_threads(1))
    files = [folder / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    data = PackedData(manifest, files, config.training.seed)
    ledger = Ledger(num_samples=manifest.train.rows, batch_samples=config.training.batch_size, epochs=1000)
    trainer = Trainer(config, manifest, data, Group(0, 1, torch.device("cpu")), ledger.total_steps)
    step = 0
    while step < WARM_UP_STEPS:
        step = take_step(trainer, ledger, step)
    tokens, faults, started = trainer.tokens, page_faults(), time.monotonic()
    while time.monotonic() - started < seconds:
        step = take_step(trainer, ledger, step)
    elapsed = time.monotonic() - started
    figures = {
        "tokens_per_second": (trainer.tokens - tokens) / elapsed,
        "faults_per_step": (page_faults() - faults) / (step - WARM_UP_STEPS),
        "resident_megabytes": psutil.Process().memory_info().rss / 2**20,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }
    print(json.dumps(figures))
    return 0


def take_step(trainer: Trainer, ledger: Ledger, step: int) -> int:
    epoch, start, stop = ledger.batch(step)
    trainer.train_round(step, [Span(epoch=epoch, start=start, stop=stop)], evaluate=False)
    return step + 1


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    sys.exit(main())
