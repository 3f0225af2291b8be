"""Sets of integers as disjoint half-open ranges [start, stop)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TypeAlias

Range: TypeAlias = tuple[int, int]


class Ranges:
    """Ranges that neither overlap nor touch each other, in order. Adding at the end takes constant time."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def __iter__(self) -> Iterator[Range]:
        return zip(self._starts, self._stops, strict=True)

    @property
    def count(self) -> int:
        """How many integers are in the set."""
        return sum(self._stops) - sum(self._starts)

    def add(self, start: int, stop: int) -> tuple[Range, ...]:
        """Add a range. Returns the parts of it that were in the set before. Raises ValueError if it ends before its
        start."""
        if start >= stop:
            if start > stop:
                raise ValueError(f"[{start}, {stop}) is no range")
            return ()
        # Those from `first` to `last` overlap or touch the new one, and become one with it.
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        starts, stops = self._starts[first:last], self._stops[first:last]
        self._starts[first:last] = [min([start, *starts])]
        self._stops[first:last] = [max([stop, *stops])]
        shared = ((max(start, begin), min(stop, end)) for begin, end in zip(starts, stops, strict=True))
        return tuple((begin, end) for begin, end in shared if begin < end)

    def missing(self, stop: int) -> tuple[Range, ...]:
        """The parts of [0, stop) that are not in the set."""
        found, place = [], 0
        for begin, end in self:
            if begin >= stop:
                break
            if place < begin:
                found.append((place, begin))
            place = max(place, end)
        if place < stop:
            found.append((place, stop))
        return tuple(found)
