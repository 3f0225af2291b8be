"""Learns a text in one way, and reports its held-out loss over time. `tests.bench.learning` starts it.

python -m tests.bench.learners SETTING FOLDER STARTED      SETTING as JSON (`Setting`); STARTED by time.monotonic()
"""

import asyncio
import dataclasses
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file

from cellmind_agent.planning.ledger import evaluation_interval
from model.config_file import load_config, parse_config, to_json
from model.line.checkpoint import OPTIMIZER_FILE, WEIGHTS_FILE
from model.line.held_out import NO_EVALUATION, after, served_loss
from model.recipe import TextSize, choose_recipe
from tests.bench.judge import Course, Judge
from tests.bench.plain_gpt import PlainGPT, PlainRecipe, plain_loop
from tests.bench.program import training_program
from tests.bench.shards import Project, Shape, epochs_of, read_project, read_rows, with_targets
from tests.bench.watched import report
from tokenizer.sharding.manifest import MANIFEST, Manifest, read_manifest

OLD_SHAPE = Shape()  # what version 0.1 trained when nothing was configured
_ROUND_SECONDS = 3.0  # at most, so that losses are known at regular times


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One run. Of a Trainer: the shape that was given, or the one that the product chooses (`d_model` 0)."""

    way: Literal["cellmind", "trainer", "old"]
    seed: int = 1
    limit_seconds: float
    lr: float = 0.0
    epochs: int = 3
    batch_size: int = 32
    d_model: int = 0
    nhead: int = 0
    num_layers: int = 0
    is_compiled: bool = False

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def main() -> int:
    setting, folder, started = Setting(**json.loads(sys.argv[1])), Path(sys.argv[2]), float(sys.argv[3])
    torch.manual_seed(setting.seed)
    if setting.way == "cellmind":
        asyncio.run(cellmind(setting, folder))
    else:
        (trainer if setting.way == "trainer" else old)(setting, folder, started)
    return 0


def trainer(setting: Setting, folder: Path, started: float) -> None:
    """Hugging Face's `Trainer`: bf16, fused AdamW, a cosine over all epochs after a twentieth of warm-up."""
    from tests.bench import hugging_face as hf

    manifest, shape = read_manifest(folder / MANIFEST), shape_of(setting, folder)
    course = Course(Judge(folder / MANIFEST, shape), started, setting.limit_seconds)
    model = PlainGPT(shape)
    steps = 0

    def on_step(step: int, loss: float) -> bool:
        nonlocal steps
        steps = step
        if course.is_due:
            course.note(step, model.state_dict())
        return course.is_over

    num_steps = setting.epochs * -(-manifest.train.rows // setting.batch_size)
    with tempfile.TemporaryDirectory() as output:
        hf.train(
            model,
            with_targets(manifest, read_rows(folder / MANIFEST)),
            shape,
            Path(output),
            on_step,
            learning_rate=setting.lr,
            lr_scheduler_type="cosine",
            warmup_steps=num_steps // 20,
            num_train_epochs=setting.epochs,
            seed=setting.seed,
            torch_compile=setting.is_compiled,
        )
    course.note(steps, model.state_dict())
    report_end(course, shape, manifest, steps * setting.batch_size)


def old(setting: Setting, folder: Path, started: float) -> None:
    """Version 0.1: float32, AdamW at 3e-4, 32 rows a step, whatever the text."""
    manifest = read_manifest(folder / MANIFEST)
    shape = dataclasses.replace(OLD_SHAPE, vocab_size=manifest.vocab_size)
    course = Course(Judge(folder / MANIFEST, shape), started, setting.limit_seconds)
    rows, model, step = read_rows(folder / MANIFEST), PlainGPT(shape), 0
    chosen = list(epochs_of(len(rows), shape.batch_size, setting.epochs, setting.seed))
    batches = (tuple(map(torch.from_numpy, with_targets(manifest, rows[some]))) for some in chosen)
    for step, _ in enumerate(plain_loop(model, batches, PlainRecipe(total_steps=len(chosen))), 1):
        if course.is_over:
            break
        if course.is_due:
            course.note(step, model.state_dict())
    course.note(step, model.state_dict())
    report_end(course, shape, manifest, step * shape.batch_size)


async def cellmind(setting: Setting, folder: Path) -> None:
    """The product: the recipe that it chooses for this text, in its own training program. It stops as a run does.

    The run is judged on checkpoints, live and averaged weights; the product keeps the better of both as its best.
    """
    manifest, shape = read_manifest(folder / MANIFEST), shape_of(setting, folder)
    judge = Judge(folder / MANIFEST, shape)
    with tempfile.TemporaryDirectory() as output:
        project = automatic_project(folder, Path(output), setting.seed)
        async with training_program(project, Path(output) / "run", Path(output) / "tuning.json") as program:
            course = Course(judge, program.started, setting.limit_seconds)
            training, total = load_config(project.config).training, program.ledger.total_steps
            interval = evaluation_interval(total, training.batch_size, manifest.held_out.rows)
            record, num_steps, is_over = NO_EVALUATION, 2, False
            while not is_over:
                steps = min(num_steps, interval - program.step % interval)
                began = time.monotonic()
                await program.train(steps)
                num_steps = max(1, round(steps * _ROUND_SECONDS / (time.monotonic() - began)))
                if program.step % interval == 0 or program.step == total:  # as the leader of a run decides
                    found = await program.evaluate()
                    loss = served_loss(found.val_loss, found.average_val_loss)
                    record = after(record, program.step, math.inf if loss is None else loss)
                is_over = program.step == total or course.is_over or record.num_worse >= training.patience
                if course.is_due or is_over:
                    began = time.monotonic()
                    path = await program.checkpoint()
                    live, average = weights_of(path)
                    course.pause(time.monotonic() - began)
                    course.note(program.step, live, *([average] if average else []))
            report_end(course, shape, manifest, program.step * shape.batch_size)


def weights_of(checkpoint: Path) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
    """The live and the averaged weights of a checkpoint; none of the latter if it has none."""
    beside, suffix = load_file(checkpoint / OPTIMIZER_FILE), ".average"
    average = {name.removesuffix(suffix): tensor for name, tensor in beside.items() if name.endswith(suffix)}
    return load_file(checkpoint / WEIGHTS_FILE), average


def automatic_project(folder: Path, output: Path, seed: int) -> Project:
    """The project in `folder`, with the configuration that the product chooses when nothing is configured."""
    manifest = read_manifest(folder / MANIFEST)
    config = parse_config(json.dumps({"training": {"seed": seed, "dataset": {"seq_len": manifest.seq_len}}}))
    text = TextSize(tokens=manifest.train.tokens, rows=manifest.train.rows, seq_len=manifest.seq_len)
    path = output / "cellmind.json"
    path.write_text(to_json(choose_recipe(config, text).config))
    return dataclasses.replace(read_project(folder), config=path)


def shape_of(setting: Setting, folder: Path) -> Shape:
    """The shape that the setting gives, or the one that the product chooses for this text."""
    manifest = read_manifest(folder / MANIFEST)
    batch_size = setting.batch_size
    if setting.d_model:
        width, heads, layers = setting.d_model, setting.nhead, setting.num_layers
    else:
        with tempfile.TemporaryDirectory() as output:
            config = parse_config(automatic_project(folder, Path(output), setting.seed).config.read_text())
        width, heads, layers = config.model.d_model, config.model.nhead, config.model.num_layers
        batch_size = config.training.batch_size if setting.way == "cellmind" else batch_size
    return Shape(
        d_model=width,
        nhead=heads,
        num_layers=layers,
        vocab_size=manifest.vocab_size,
        seq_len=manifest.seq_len,
        batch_size=batch_size,
    )


def report_end(course: Course, shape: Shape, manifest: Manifest, num_rows: int) -> None:
    """Report how the run ended: its training time, its network, and how often it has read the text."""
    report(
        end=True,
        seconds=course.seconds,
        is_cut=course.is_over,
        epochs=num_rows / manifest.train.rows,
        d_model=shape.d_model,
        num_layers=shape.num_layers,
        batch_size=shape.batch_size,
        weights=shape.matrix_weights,
    )


if __name__ == "__main__":
    sys.exit(main())
