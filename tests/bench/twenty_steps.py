"""The loss of the demo's model over its first twenty steps, to the last bit. A refactoring must not change it.

    python -m tests.bench.twenty_steps [--json FILE]

Trains in this process on one CPU thread, without an agent. Prints each loss as `float.hex()`, then a SHA-256 over these
losses and the final weights. The hash depends on the processor and on torch: compare two versions of the code on one
machine.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import torch

from cellmind_agent.planning.ledger import Ledger
from model.config import Config
from model.config_file import load_config
from model.data import PackedData
from model.line.training import Span
from model.meeting.group import Group
from model.recipe import TextSize, choose_recipe
from model.trainer import Trainer
from tests.bench.results import Results
from tests.demo.play import run, write_project
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.sharding.writing import write_shards

NUM_STEPS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/twenty_steps.json"))
    options = parser.parse_args()
    results = Results(options.json)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        losses, state_hash = train(*make_trainer(Path(folder)))
    written = [loss.hex() for loss in losses]
    digest = hashlib.sha256("\n".join([*written, state_hash]).encode()).hexdigest()
    for step, loss in enumerate(written):
        print(f"step {step:2}  {loss}  {float.fromhex(loss):.6f}")
    print(f"sha256 {digest}")
    results.save({"sha256": digest, "state_hash": state_hash}, {"loss": written}, torch=torch.__version__)
    return 0


def make_trainer(folder: Path) -> tuple[Trainer, Ledger]:
    """The demo's text, tokenizer and configuration, and the samples of each step."""
    write_project(folder)
    text = "data/for-tokenizer-training/textonly.txt"
    run("python -m tokenizer", sys.executable, "-m", "tokenizer", "--input", text, "--model-prefix", "minigpt",
        "--character-coverage", "0.98", "--model-type", "bpe", "--vocab-size", "800", "--output-dir", "tokenizer",
        cwd=folder)  # fmt: skip
    config: Config = load_config(folder / "cellmind.json")
    dataset, tokenizer = config.training.dataset, (folder / config.tokenizer.model_path).read_bytes()
    manifest = write_shards(prepared_split([folder / dataset.path]), tokenizer, dataset.seq_len, folder)
    train = manifest.train
    config = choose_recipe(config, TextSize(tokens=train.tokens, rows=train.rows, seq_len=manifest.seq_len)).config
    training = config.training
    files = [folder / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    ledger = Ledger(num_samples=manifest.train.rows, batch_samples=training.batch_size, epochs=training.epochs)
    data = PackedData(manifest, files, training.seed)
    return Trainer(config, manifest, data, Group(0, 1, torch.device("cpu")), ledger.total_steps), ledger


def train(trainer: Trainer, ledger: Ledger) -> tuple[list[float], str]:
    """The loss of each step, and the hash of the weights after the last one."""
    losses, state_hash = [], ""
    for step in range(NUM_STEPS):
        epoch, start, stop = ledger.batch(step)
        result = trainer.train_round(step, [Span(epoch=epoch, start=start, stop=stop)], evaluate=False)
        assert result.loss is not None
        losses.append(result.loss)
        state_hash = result.state_hash
    return losses, state_hash


if __name__ == "__main__":
    sys.exit(main())
