"""What a run writes down as it goes: TensorBoard events, and the same as JSON lines for everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from tensorboardX import SummaryWriter


class Metrics:
    """One run's figures, in `folder/tensorboard` and `folder/metrics.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._lines: IO[str] = open(folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 - lives with the run

    def record(self, step: int, **figures: float | None) -> None:
        """Figures at this step; what is None was not measured."""
        measured = {name: value for name, value in figures.items() if value is not None}
        for name, value in measured.items():
            self._writer.add_scalar(name, value, step)
        self._lines.write(json.dumps({"step": step, **measured}) + "\n")

    def flush(self) -> None:
        self._writer.flush()
        self._lines.flush()

    def close(self) -> None:
        self._writer.close()
        self._lines.close()
