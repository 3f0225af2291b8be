"""Trains a few steps in one way, and prints when each ends. `tests.bench.training_speed` starts it.

python -m tests.bench.ways WAY FOLDER SHAPE STEPS      SHAPE as JSON; FOLDER has random rows for it
"""

import asyncio
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.shards import Shape, epochs_of, read_rows, with_targets, write_config
from tests.bench.watched import report, report_step
from tokenizer.sharding.manifest import MANIFEST, read_manifest


def plain(folder: Path, shape: Shape, num_steps: int) -> None:
    """PyTorch in float32, as a person writes it."""
    import torch

    from tests.bench.plain_gpt import PlainGPT, PlainRecipe, plain_loop

    torch.manual_seed(1)
    manifest, rows = read_manifest(folder / MANIFEST), read_rows(folder / MANIFEST)
    batches = (
        tuple(map(torch.from_numpy, with_targets(manifest, rows[chosen])))
        for chosen in epochs_of(len(rows), shape.batch_size, 1000, seed=1)
    )
    steps = itertools.islice(plain_loop(PlainGPT(shape), batches, PlainRecipe(total_steps=num_steps)), num_steps)
    for step, _ in enumerate(steps, 1):
        report_step(step)


def hugging_face(is_qwen3: bool = False, **settings: Any) -> Callable[[Path, Shape, int], None]:
    """A way with Hugging Face's `Trainer`, bf16 and fused AdamW."""

    def way(folder: Path, shape: Shape, num_steps: int) -> None:
        import torch

        from tests.bench import hugging_face as hf
        from tests.bench.plain_gpt import PlainGPT

        torch.manual_seed(1)
        manifest, rows = read_manifest(folder / MANIFEST), read_rows(folder / MANIFEST)

        def on_step(step: int, loss: float) -> bool:
            report_step(step)
            return False

        size = shape.batch_size // settings.get("gradient_accumulation_steps", 1)
        model = hf.qwen3(shape) if is_qwen3 else PlainGPT(shape)
        inputs, targets = with_targets(manifest, rows)
        with tempfile.TemporaryDirectory() as output:
            own = {"max_steps": num_steps, "per_device_train_batch_size": size, **settings}
            hf.train(model, (inputs, targets), shape, Path(output), on_step, **own)

    return way


def cellmind(folder: Path, shape: Shape, num_steps: int) -> None:
    """The product's training program, in rounds as a leader asks for them."""
    asyncio.run(_cellmind(folder, shape, num_steps))


async def _cellmind(folder: Path, shape: Shape, num_steps: int) -> None:
    from tests.bench.program import training_program

    project = write_config(folder, shape, max_steps=num_steps, epochs=1000)
    with tempfile.TemporaryDirectory() as output:
        progress = lambda event: report_step(event.step)  # noqa: E731
        async with training_program(project, Path(output), folder.parent / "tuning.json", progress) as program:
            report(started=program.started, tuning=program.tuning)
            while program.step < num_steps:
                await program.train(2 if program.step == 0 else 8)


# Four micro-batches of a quarter of the batch: their activations stay in the cache.
_MICRO_BATCHES = {"gradient_accumulation_steps": 4}
WAYS: Mapping[str, Callable[[Path, Shape, int], None]] = {
    "plain": plain,
    "trainer": hugging_face(),
    "trainer-4x8": hugging_face(**_MICRO_BATCHES),
    "trainer-qwen3": hugging_face(is_qwen3=True),
    "trainer-qwen3-4x8": hugging_face(is_qwen3=True, **_MICRO_BATCHES),
    "trainer-compiled": hugging_face(torch_compile=True),
    "trainer-compiled-4x8": hugging_face(torch_compile=True, **_MICRO_BATCHES),
    "cellmind": cellmind,
}


def main() -> int:
    way, folder, shape, num_steps = sys.argv[1:]
    WAYS[way](Path(folder), Shape(**json.loads(shape)), int(num_steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
