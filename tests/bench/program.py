"""The product's real training program, `python -P -m model.train`, started and driven as an agent drives it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.runs.process import ChildProcess, serve_nothing, start_child
from model.config_file import load_config
from model.line.declare import Event
from model.line.training import (
    JoinGroup,
    PrepareTrainer,
    Span,
    StepsProgressed,
    StepsTrained,
    TrainSteps,
    WriteCheckpoint,
)
from tests.bench.shards import Project
from tokenizer.sharding.manifest import read_manifest

_LONG_SECONDS = 3600.0


class Program:
    """A prepared training program. `started` is when its process was started (`time.monotonic()`), `tuning` how it
    computes."""

    def __init__(self, child: ChildProcess, ledger: Ledger, started: float, folder: Path, tuning: str) -> None:
        self.ledger, self.started, self.tuning = ledger, started, tuning
        self._child, self._folder, self._step = child, folder, 0

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def step(self) -> int:
        """The steps so far."""
        return self._step

    async def train(self, num_steps: int) -> StepsTrained:
        """One round of so many steps, or as many as are left."""
        num_steps = min(num_steps, self.ledger.total_steps - self._step)
        answer = await self._train(num_steps, evaluate=False)
        self._step += num_steps
        return answer

    async def evaluate(self) -> StepsTrained:
        """A round without steps that measures the held-out loss."""
        return await self._train(0, evaluate=True)

    async def checkpoint(self) -> Path:
        """Write a checkpoint of the present state; its folder."""
        written = await self._child.call(WriteCheckpoint(step=self._step, tokens=0), _LONG_SECONDS)
        return self._folder / "checkpoints" / written.name

    async def _train(self, num_steps: int, evaluate: bool) -> StepsTrained:
        batches = [self.ledger.batch(self._step + number) for number in range(num_steps)]
        spans = tuple(Span(epoch=epoch, start=start, stop=stop) for epoch, start, stop in batches)
        return await self._child.call(TrainSteps(first_step=self._step, spans=spans, evaluate=evaluate), _LONG_SECONDS)


@asynccontextmanager
async def training_program(
    project: Project, folder: Path, tuning: Path, on_progress: Callable[[StepsProgressed], None] = lambda progress: None
) -> AsyncIterator[Program]:
    """The program, alone in its run, prepared with the project. It writes its metrics and checkpoints in `folder`.

    It remembers in the file `tuning` how this machine computes fastest, and measures that if there is no such file.
    """

    def hear(event: Event) -> None:
        if isinstance(event, StepsProgressed):
            on_progress(event)

    folder.mkdir(parents=True, exist_ok=True)
    config, manifest = load_config(project.config), read_manifest(project.manifest)
    training = config.training
    ledger = Ledger(
        num_samples=manifest.train.rows,
        batch_samples=training.batch_size,
        epochs=training.epochs,
        max_steps=training.max_steps,
    )
    started = time.monotonic()
    child = await start_child("train", folder, serve_nothing, hear)
    try:
        prepare = PrepareTrainer(
            run="bench",
            rank=0,
            size=1,
            members_here=1,
            total_steps=ledger.total_steps,
            config=str(project.config),
            tokenizer=str(project.tokenizer),
            manifest=str(project.manifest),
            shards=tuple(map(str, project.shards)),
            folder=str(folder),
            tuning=str(tuning),
        )
        ready = await child.call(prepare, _LONG_SECONDS)
        alone = JoinGroup(rank=0, size=1, backend="gloo", step=0, holders=(0,), near=(), rendezvous_seconds=60.0)
        await child.call(alone, _LONG_SECONDS)
        yield Program(child, ledger, started, folder, ready.tuning)
    finally:
        await child.stop()
