"""Divides work among the members, in proportion to their speeds: whole samples, by the largest remainders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

_NEW_WEIGHT = 0.3  # of the newest measurement: after five of them a sixth of the average is older


def averaged(before: float | None, measured: float) -> float:
    """A speed as the exponential moving average of its measurements, so that one slow round changes little.

    `before` is the average so far; None: `measured` is the first.
    """
    return measured if before is None else before + _NEW_WEIGHT * (measured - before)


def shares(speeds: Sequence[float | None], samples: int) -> tuple[int, ...]:
    """Samples of one step for each member, in order; their sum is `samples`.

    A member of unknown speed counts as the median of the known ones. While there is enough for all, everybody gets at
    least one sample: a speed is only measured by working. Raises ValueError for no members or a negative count.
    """
    if not speeds or samples < 0:
        raise ValueError(f"{samples} samples for {len(speeds)} members")
    weights, floor = known_speeds(speeds), 1 if samples >= len(speeds) else 0
    # First the same for everybody, then the rest by weight.
    rest = samples - floor * len(speeds)
    exact = [rest * weight / sum(weights) for weight in weights]
    given = [int(part) for part in exact]
    by_remainder = sorted(range(len(speeds)), key=lambda i: (given[i] - exact[i], i))
    for i in by_remainder[: rest - sum(given)]:
        given[i] += 1
    return tuple(part + floor for part in given)


def known_speeds(speeds: Sequence[float | None]) -> list[float]:
    """The speeds, where an unknown one counts as the median of the others."""
    known = sorted(speed for speed in speeds if _is_known(speed))
    middle = known[len(known) // 2] if known else 1.0
    return [speed if _is_known(speed) else middle for speed in speeds]


def _is_known(speed: float | None) -> TypeGuard[float]:
    """Whether it is a speed: other devices report theirs, and may report anything."""
    return speed is not None and 0 < speed < math.inf


def spans(start: int, amounts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Consecutive half-open ranges of these lengths from `start`."""
    found = []
    for amount in amounts:
        found.append((start, start + amount))
        start += amount
    return tuple(found)
