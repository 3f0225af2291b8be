"""Divides work among the members, in proportion to their speeds: whole samples or steps, by the largest remainders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from cellmind_agent.protocol.messages import RunMode

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
    return _divided(speeds, samples, floor=1 if samples >= len(speeds) else 0)


def step_shares(speeds: Sequence[float | None], steps: int) -> tuple[int, ...]:
    """Steps of a local round for each member, as `shares`. One that would keep the others waiting for its step gets
    none; one of unknown speed gets at least one, if there is enough for all."""
    is_known = all(map(_is_known, speeds))
    return _divided(speeds, steps, floor=0 if is_known or steps < len(speeds) else 1)


def round_shares(mode: RunMode, speeds: Sequence[float | None], batch_samples: int, steps: int) -> tuple[int, ...]:
    """The shares of a round of so many steps, as its mode has them (`Ledger.divided`)."""
    return step_shares(speeds, steps) if mode == "local" else shares(speeds, batch_samples)


def takers(amounts: Sequence[int]) -> tuple[int, ...]:
    """Which member takes each step of a round, when they take so many: evenly mixed."""
    count, given, found = sum(amounts), [0] * len(amounts), []
    for number in range(1, count + 1):
        rank = max(range(len(amounts)), key=lambda i: (amounts[i] * number / count - given[i], -i))
        given[rank] += 1
        found.append(rank)
    return tuple(found)


def _is_known(speed: float | None) -> TypeGuard[float]:
    """Whether it is a speed: other devices report theirs, and may report anything."""
    return speed is not None and 0 < speed < math.inf


def _divided(speeds: Sequence[float | None], amount: int, floor: int) -> tuple[int, ...]:
    if not speeds or amount < 0:
        raise ValueError(f"{amount} parts for {len(speeds)} members")
    known = sorted(speed for speed in speeds if _is_known(speed))
    middle = known[len(known) // 2] if known else 1.0
    weights = [speed if _is_known(speed) else middle for speed in speeds]
    # First the same for everybody, then the rest by weight.
    rest = amount - floor * len(speeds)
    exact = [rest * weight / sum(weights) for weight in weights]
    given = [int(part) for part in exact]
    by_remainder = sorted(range(len(speeds)), key=lambda i: (given[i] - exact[i], i))
    for i in by_remainder[: rest - sum(given)]:
        given[i] += 1
    return tuple(part + floor for part in given)


def spans(start: int, amounts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Consecutive half-open ranges of these lengths from `start`."""
    found = []
    for amount in amounts:
        found.append((start, start + amount))
        start += amount
    return tuple(found)
