"""This device's measured training speeds, kept across restarts in `speed.json`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.messages import Figure
from cellmind_agent.storage.files import read_json, write_json

_KEPT = 32  # the oldest are forgotten first


class MeasuredSpeeds:
    """Tokens per second of this device's last run, and for each `work` (what a step computes) that it knows."""

    def __init__(self, home: Path) -> None:
        self._path = home / "speed.json"
        plain = read_json(self._path)
        plain = plain if isinstance(plain, dict) else {}
        self._last = _speed(plain.get("value"))
        self._by_work = dict(_pairs(plain.get("by_work")))  # the oldest first

    @property
    def tokens_per_second(self) -> Figure | None:
        """Of the last run; None before the first one."""
        return None if self._last is None else Figure(value=self._last, source="run")

    def of(self, work: str) -> float | None:
        """The last speed that was measured for this work."""
        return self._by_work.get(work)

    def record_run(self, work: str, tokens_per_second: float) -> None:
        """Remember what a run measured."""
        self._last = tokens_per_second
        self.record(work, tokens_per_second)

    def record(self, work: str, tokens_per_second: float) -> None:
        """Remember a newly measured speed."""
        self._by_work.pop(work, None)
        if work:
            self._by_work[work] = tokens_per_second
        self._by_work = dict(list(self._by_work.items())[-_KEPT:])
        with contextlib.suppress(CellmindError, OSError):  # on a full disk: the next run measures it again
            pairs = [list(pair) for pair in self._by_work.items()]
            write_json(self._path, {"value": self._last, "source": "run", "by_work": pairs})


def _pairs(plain: object) -> Iterator[tuple[str, float]]:
    """Names of works and speeds from a file that may be damaged."""
    for pair in plain if isinstance(plain, list) else ():
        match pair:
            case [str(name), value] if (speed := _speed(value)) is not None:
                yield name, speed


def _speed(value: object) -> float | None:
    """A speed from a file that may be damaged."""
    return float(value) if isinstance(value, int | float) and 0 < value < math.inf else None
