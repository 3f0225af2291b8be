"""Where the time of a training step goes: the share of each part, by torch's profiler. `tests.bench.training_speed`
starts it.

    python -m tests.bench.step_parts plain|cellmind FOLDER SHAPE [STEPS]      SHAPE as JSON; FOLDER has random rows

Prints JSON: the share of each part in the wall time of a step. Time of an operation counts once, for the innermost one.
What Python does between operations, and what no operation reports (such as a hash of the weights), is the rest.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from cellmind_agent.planning.ledger import Ledger
from model.config import load_config
from model.data import PackedData
from model.line.training import Span
from model.meeting.group import Group
from model.trainer import Trainer
from model.tuning.tune import tune
from tests.bench.plain_gpt import PlainGPT, PlainRecipe, plain_loop
from tests.bench.shards import Shape, epochs_of, read_rows, with_targets, write_config
from tokenizer.sharding.manifest import MANIFEST, read_manifest

HEAD, ATTENTION, MATRICES = "head, loss, embedding", "attention", "other matrix products"
ELEMENTWISE, OPTIMISER, REST = "norms, rotary, SwiGLU, copies", "optimiser", "between operations"
PARTS = (HEAD, ATTENTION, MATRICES, ELEMENTWISE, OPTIMISER, REST)
_MATRIX_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "_linear_pointwise", "mkldnn_linear")
_SOFTMAX = ("_softmax", "_softmax_backward_data")


def main() -> int:
    way, folder, plain_shape, *more = sys.argv[1:]
    shape, num_steps = Shape(**json.loads(plain_shape)), int(more[0]) if more else 3
    take_step = {"plain": plain_steps, "cellmind": cellmind_steps}[way](Path(folder), shape)
    take_step()
    take_step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        started = time.perf_counter()
        for _ in range(num_steps):
            take_step()
        seconds = time.perf_counter() - started
    shares = shares_of(profiler.events(), seconds, shape.vocab_size)
    print(json.dumps({"seconds": seconds / num_steps, "shares": shares}))
    return 0


def shares_of(events: list[FunctionEvent], seconds: float, vocab_size: int) -> dict[str, float]:
    """The share of each part in `seconds`."""
    found: Counter[str] = Counter()
    for event in events:
        found[part_of(event, vocab_size)] += event.self_cpu_time_total / 1e6 / seconds
    found[REST] += 1 - found.total()
    return {part: found[part] for part in PARTS}


def part_of(event: FunctionEvent, vocab_size: int) -> str:
    """The part of the step that an operation belongs to, by its name, its shapes and the operations around it."""
    around = [event]
    while around[-1].cpu_parent is not None:
        around.append(around[-1].cpu_parent)
    names = [one.name for one in around]
    if any(name.startswith("Optimizer.") or "_foreach_" in name for name in names):
        return OPTIMISER
    shapes = [size for one in around for size in one.input_shapes or [] if isinstance(size, list)]
    if any(vocab_size in size for size in shapes) or any("SummedLoss" in name or "embedding" in name for name in names):
        return HEAD
    operation = event.name.rpartition("::")[2]
    if any("scaled_dot_product" in name for name in names):
        return ATTENTION
    if operation in (*_MATRIX_PRODUCTS, *_SOFTMAX) and any("_Attention" in name for name in names):
        return ATTENTION
    if operation in _MATRIX_PRODUCTS:
        return MATRICES
    return ELEMENTWISE


def plain_steps(folder: Path, shape: Shape) -> Callable[[], object]:
    """Takes one step of the plain loop at each call."""
    manifest, rows = read_manifest(folder / MANIFEST), read_rows(folder / MANIFEST)
    batches = (
        tuple(map(torch.from_numpy, with_targets(manifest, rows[chosen])))
        for chosen in epochs_of(len(rows), shape.batch_size, 1000, seed=1)
    )
    steps = plain_loop(PlainGPT(shape), batches, PlainRecipe(total_steps=1000))
    return lambda: next(steps)


def cellmind_steps(folder: Path, shape: Shape) -> Callable[[], object]:
    """Takes a round of one step of the product's trainer at each call, in this process."""
    project = write_config(folder, shape, epochs=1000)
    config, manifest = load_config(project.config), read_manifest(project.manifest)
    data = PackedData(manifest, project.shards, config.training.seed)
    ledger = Ledger(num_samples=manifest.train.rows, batch_samples=shape.batch_size, epochs=1000)
    cpu = torch.device("cpu")
    tuning = tune(config, manifest.vocab_size, 1, 1, cpu, folder.parent / "tuning.json")
    trainer = Trainer(config, manifest, data, Group(0, 1, cpu), ledger.total_steps, tuning=tuning)
    optimizer, numbers = trainer.state.optimizer, iter(range(ledger.total_steps))
    # Muon is no optimiser of torch, so the profiler does not name its steps.
    optimizer.step = marked("Optimizer.step", optimizer.step)  # type: ignore[method-assign]

    def take_step() -> None:
        step = next(numbers)
        epoch, start, stop = ledger.batch(step)
        trainer.train_round(step, [Span(epoch=epoch, start=start, stop=stop)], evaluate=False)

    return take_step


def marked(name: str, function: Callable[[float], None]) -> Callable[[float], None]:
    """The function, under this name in the profile."""

    def run(lr: float) -> None:
        with record_function(name):
            function(lr)

    return run


if __name__ == "__main__":
    sys.exit(main())
