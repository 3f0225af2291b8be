"""The figures of a run, step by step: TensorBoard events, and the same as JSON lines for other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO

from tensorboardX import SummaryWriter


class Metrics:
    """Writes to `folder/tensorboard` and `folder/metrics.jsonl`. Raises OSError, for instance on a full disk."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder / "tensorboard"))
        self._lines: IO[str] = open(folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 # open as long as the run

    def record(self, step: int, **figures: float | None) -> None:
        """Add the figures of a step; those that are None were not measured and are left out."""
        measured = {name: value for name, value in figures.items() if value is not None}
        for name, value in measured.items():
            self._writer.add_scalar(name, value, step)
        self._lines.write(json.dumps({"step": step, **measured}) + "\n")

    def flush(self) -> None:
        """Write buffered figures to the disk."""
        self._writer.flush()
        self._lines.flush()

    def close(self) -> None:
        """Flush and close both files."""
        self._writer.close()
        self._lines.close()
