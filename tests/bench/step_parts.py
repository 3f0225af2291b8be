"""Where the time of a training step goes: the share of each part. `tests.bench.training_speed` starts it.

    python -m tests.bench.step_parts plain|cellmind FOLDER SHAPE [STEPS]      SHAPE as JSON; FOLDER has random rows

Prints JSON: the share of each part in the wall time of a step. Each operation of torch is timed where Python dispatches
it: torch's profiler would disturb the memory allocator, and so make large operations slower than they are. The rest is
what lies between operations: Python, autograd, and what is no operation of torch, such as a hash of the weights.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch._ops import OpOverload
from torch.optim import optimizer as torch_optimizer
from torch.utils._python_dispatch import TorchDispatchMode

from cellmind_agent.planning.ledger import Ledger
from model.config_file import load_config
from model.data import PackedData
from model.line.training import Span
from model.meeting.group import Group
from model.trainer import Trainer
from model.tuning.tune import Tuner
from tests.bench.plain_gpt import PlainGPT, PlainRecipe, plain_loop
from tests.bench.shards import Shape, epochs_of, read_rows, with_targets, write_config
from tokenizer.sharding.manifest import MANIFEST, read_manifest

HEAD, ATTENTION, MATRICES = "head, loss, embedding", "attention", "other matrix products"
ELEMENTWISE, OPTIMISER, REST = "norms, rotary, SwiGLU, copies", "optimiser", "between operations"
PARTS = (HEAD, ATTENTION, MATRICES, ELEMENTWISE, OPTIMISER, REST)
_MATRIX_PRODUCTS = ("mm", "addmm", "linear", "matmul")
_OF_ATTENTION = ("bmm", "baddbmm", "_softmax", "_softmax_backward_data")
_WARM_UP_STEPS = 6  # until the allocator has settled


def main() -> int:
    way, folder, plain_shape, *more = sys.argv[1:]
    shape, num_steps = Shape(**json.loads(plain_shape)), int(more[0]) if more else 3
    clock = OperationClock(shape.vocab_size)
    take_step = {"plain": plain_steps, "cellmind": cellmind_steps}[way](Path(folder), shape, clock)
    for _ in range(_WARM_UP_STEPS):
        take_step()
    with clock:
        started = time.perf_counter()
        for _ in range(num_steps):
            take_step()
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds / num_steps, "shares": clock.shares(seconds)}))
    return 0


class OperationClock(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, adds up the seconds of all operations by the part of the step that they belong to."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_optimising = False
        self._vocab_size = vocab_size
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        started = time.perf_counter()
        out: object = func(*args, **(kwargs or {}))
        self._seconds[self._part_of(func, args)] += time.perf_counter() - started
        return out

    def shares(self, seconds: float) -> dict[str, float]:
        """The share of each part in `seconds`."""
        found = {part: self._seconds[part] / seconds for part in PARTS}
        found[REST] = 1 - sum(found.values())
        return found

    def _part_of(self, func: OpOverload, args: tuple[object, ...]) -> str:
        """By the name and the shapes of an operation."""
        name = func.overloadpacket.__name__
        if self.is_optimising or name.startswith(("_foreach_", "_fused_")):
            return OPTIMISER
        if "embedding" in name or any(self._vocab_size in one.shape for one in args if isinstance(one, torch.Tensor)):
            return HEAD
        if name in _OF_ATTENTION or "scaled_dot_product" in name:
            return ATTENTION
        return MATRICES if name in _MATRIX_PRODUCTS else ELEMENTWISE


def plain_steps(folder: Path, shape: Shape, clock: OperationClock) -> Callable[[], object]:
    """Takes one step of the plain loop at each call."""

    def mark(is_optimising: bool) -> Callable[..., None]:
        return lambda *_: setattr(clock, "is_optimising", is_optimising)

    torch_optimizer.register_optimizer_step_pre_hook(mark(True))
    torch_optimizer.register_optimizer_step_post_hook(mark(False))
    manifest, rows = read_manifest(folder / MANIFEST), read_rows(folder / MANIFEST)
    batches = (
        tuple(map(torch.from_numpy, with_targets(manifest, rows[chosen])))
        for chosen in epochs_of(len(rows), shape.batch_size, 1000, seed=1)
    )
    steps = plain_loop(PlainGPT(shape), batches, PlainRecipe(total_steps=1000))
    return lambda: next(steps)


def cellmind_steps(folder: Path, shape: Shape, clock: OperationClock) -> Callable[[], object]:
    """Takes a round of one step of the product's trainer at each call, in this process."""
    project = write_config(folder, shape, epochs=1000)
    config, manifest = load_config(project.config), read_manifest(project.manifest)
    data = PackedData(manifest, project.shards, config.training.seed)
    ledger = Ledger(num_samples=manifest.train.rows, batch_samples=shape.batch_size, epochs=1000)
    cpu = torch.device("cpu")
    tuning = Tuner(config, manifest.vocab_size, [cpu], folder.parent / "tuning.json").tune()
    trainer = Trainer(config, manifest, data, Group(0, 1, cpu), ledger.total_steps, tuning=tuning)
    optimizer, numbers = trainer.state.optimizer, iter(range(ledger.total_steps))
    update = optimizer.step

    def marked_update(lr: float) -> None:
        clock.is_optimising = True
        update(lr)
        clock.is_optimising = False

    optimizer.step = marked_update  # type: ignore[method-assign]

    def take_step() -> None:
        step = next(numbers)
        epoch, start, stop = ledger.batch(step)
        trainer.train_round(step, [Span(epoch=epoch, start=start, stop=stop)], evaluate=False)

    return take_step


if __name__ == "__main__":
    sys.exit(main())
