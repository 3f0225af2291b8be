"""This device's measured training speeds, kept across restarts in `speed.json`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.limits import SPEED_AGE_SECONDS
from cellmind_agent.protocol.messages import Figure
from cellmind_agent.storage.files import read_json, write_json

_KEPT = 32  # the oldest are forgotten first


class MeasuredSpeeds:
    """Tokens per second of this device's last run, and for each `work` (what a step computes) that it knows."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since 1970."""
        self._path, self._clock = home / "speed.json", clock
        plain = read_json(self._path)
        plain = plain if isinstance(plain, dict) else {}
        self._last = _speed(plain.get("value"))
        self._by_work = dict(_entries(plain.get("by_work")))  # speed and time, the oldest first

    @property
    def tokens_per_second(self) -> Figure | None:
        """Of the last run; None before the first one."""
        return None if self._last is None else Figure(value=self._last, source="run")

    def of(self, work: str) -> float | None:
        """The last speed that was measured for this work. None if that is long ago: the device may have been hot, or
        busy, and one that seems slow is not asked to train again."""
        speed, measured_at = self._by_work.get(work, (None, 0.0))
        return speed if abs(self._clock() - measured_at) < SPEED_AGE_SECONDS else None

    def record_run(self, work: str, tokens_per_second: float) -> None:
        """Remember what a run measured."""
        self._last = tokens_per_second
        self.record(work, tokens_per_second)

    def record(self, work: str, tokens_per_second: float) -> None:
        """Remember a newly measured speed."""
        self._by_work.pop(work, None)
        if work:
            self._by_work[work] = tokens_per_second, self._clock()
        self._by_work = dict(list(self._by_work.items())[-_KEPT:])
        with contextlib.suppress(CellmindError, OSError):  # on a full disk: the next run measures it again
            entries = [[name, *entry] for name, entry in self._by_work.items()]
            write_json(self._path, {"value": self._last, "source": "run", "by_work": entries})


def _entries(plain: object) -> Iterator[tuple[str, tuple[float, float]]]:
    """Names of works, each with its speed and when it was measured, from a file that may be damaged."""
    for entry in plain if isinstance(plain, list) else ():
        match entry:
            case [str(name), value, int(at) | float(at)] if (speed := _speed(value)) is not None:
                yield name, (speed, float(at))


def _speed(value: object) -> float | None:
    """A speed from a file that may be damaged."""
    return float(value) if isinstance(value, int | float) and 0 < value < math.inf else None
