"""The figures of a run, step by step: JSON lines, and the same as TensorBoard events where tensorboardX is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from model.line.training import StepsTrained
from model.rounds.round import StepReport

try:
    from tensorboardX import SummaryWriter
except ModuleNotFoundError:  # on phones
    SummaryWriter = None


class Metrics:
    """Writes to `folder/metrics.jsonl` and `folder/tensorboard`. Raises OSError, for instance on a full disk."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder / "tensorboard")) if SummaryWriter else None
        self._lines: IO[str] = open(folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 # open as long as the run

    def record(self, step: int, **figures: float | None) -> None:
        """Add the figures of a step; those that are None were not measured and are left out."""
        measured = {name: value for name, value in figures.items() if value is not None}
        if self._writer:
            for name, value in measured.items():
                self._writer.add_scalar(name, value, step)
        self._lines.write(json.dumps({"step": step, **measured}) + "\n")

    def record_round(
        self, reports: Sequence[StepReport], trained: StepsTrained, step: int, tokens_per_second: float
    ) -> None:
        """Add what the members report of the steps of a round, and the figures at its end: the losses, how many steps
        the round had, and how long its exchange took. Flushes."""
        for report in reports:
            self.record(
                report.step,
                loss=report.loss,
                gradient_norm=report.gradient_norm,
                learning_rate=report.learning_rate,
            )
        self.record(
            step,
            val_loss=trained.val_loss,
            average_val_loss=trained.average_val_loss,
            val_bits_per_byte=trained.val_bits_per_byte,
            tokens_per_second=tokens_per_second,
            round_steps=len(reports),
            exchange_seconds=trained.exchange_seconds,
        )
        self.flush()

    def flush(self) -> None:
        """Write buffered figures to the disk."""
        if self._writer:
            self._writer.flush()
        self._lines.flush()

    def close(self) -> None:
        """Flush and close both files."""
        if self._writer:
            self._writer.close()
        self._lines.close()
