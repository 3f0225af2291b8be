"""One worker of an elastic run of `torchrun`, as PyTorch's own examples write it: the peer of a run with churn.

    torchrun ... tests/bench/elastic_worker.py SHAPE FOLDER SECONDS

The network is the product's, trained by DistributedDataParallel over gloo with AdamW on random rows. Every SECONDS each
worker saves a checkpoint in FOLDER, which is its device's own. After a restart all take the newest that any of them
has. FOLDER/progress.json says how many steps have been taken, when (`time.monotonic()`), and with how many ranks.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tests.bench.plain_gpt import PlainGPT
from tests.bench.shards import Shape

_PROGRESS_SECONDS = 0.25


def main() -> int:
    shape, folder, interval = Shape(**json.loads(sys.argv[1])), Path(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(1)
    model = PlainGPT(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    step = take_newest(folder, model, optimizer)
    parallel = DistributedDataParallel(model) if dist.get_world_size() > 1 else model
    saved = noted = time.monotonic()
    while True:
        inputs, targets = own_rows(shape, step)
        parallel(inputs, targets)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        now = time.monotonic()
        if now - noted >= _PROGRESS_SECONDS:
            noted = now
            replace(
                folder / "progress.json", json.dumps({"at": now, "step": step, "ranks": dist.get_world_size()}).encode()
            )
        if now - saved >= interval:
            saved = now
            save(folder, step, model, optimizer)


def own_rows(shape: Shape, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets (B / ranks, T) of this rank: all ranks draw the same random batch, and take their parts."""
    generator = torch.Generator().manual_seed(step)
    rows = torch.randint(0, shape.vocab_size, (shape.batch_size, shape.seq_len + 1), generator=generator)
    part = rows.chunk(dist.get_world_size())[dist.get_rank()]
    return part[:, :-1], part[:, 1:]


def take_newest(folder: Path, model: PlainGPT, optimizer: torch.optim.Optimizer) -> int:
    """The steps of the newest checkpoint of any rank, whose state all ranks take."""
    file = folder / "checkpoint.pt"
    own: dict[str, Any] = torch.load(file, weights_only=True) if file.exists() else {"step": 0}
    steps: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(steps, own["step"])
    if not any(steps):
        return 0
    holder = max(range(len(steps)), key=lambda rank: int(steps[rank]))
    found = [own if dist.get_rank() == holder else None]
    dist.broadcast_object_list(found, src=holder)
    assert found[0]
    model.load_state_dict(found[0]["model"])
    optimizer.load_state_dict(found[0]["optimizer"])
    return int(found[0]["step"])


def save(folder: Path, step: int, model: PlainGPT, optimizer: torch.optim.Optimizer) -> None:
    part = folder / "checkpoint.part"
    torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, part)
    os.replace(part, folder / "checkpoint.pt")


def replace(file: Path, content: bytes) -> None:
    part = file.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, file)


if __name__ == "__main__":
    sys.exit(main())
