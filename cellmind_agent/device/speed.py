"""This device's measured training speed, kept across restarts in `speed.json`."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.messages import Figure
from cellmind_agent.protocol.plain import to_plain
from cellmind_agent.storage.files import read_json, write_json


class MeasuredSpeed:
    """Tokens per second of this device's last run."""

    def __init__(self, home: Path) -> None:
        self._path = home / "speed.json"
        self.tokens_per_second = self._load()

    def record(self, tokens_per_second: float) -> None:
        """Remember a newly measured speed."""
        self.tokens_per_second = Figure(value=tokens_per_second, source="run")
        with contextlib.suppress(CellmindError, OSError):  # on a full disk: the next run measures it again
            write_json(self._path, to_plain(self.tokens_per_second))

    def _load(self) -> Figure | None:
        plain = read_json(self._path)
        try:
            return Figure(value=float(plain["value"]), source=str(plain["source"]))
        except (TypeError, KeyError, ValueError):
            return None
