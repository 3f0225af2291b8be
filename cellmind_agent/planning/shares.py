"""Divides a batch among the members, in proportion to their speeds: whole samples, by the largest remainders."""

from __future__ import annotations

from collections.abc import Sequence

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
    known = sorted(speed for speed in speeds if speed is not None and speed > 0)
    middle = known[len(known) // 2] if known else 1.0
    weights = [speed if speed is not None and speed > 0 else middle for speed in speeds]
    # First one sample for everybody, then the rest by weight.
    floor = 1 if samples >= len(speeds) else 0
    rest = samples - floor * len(speeds)
    exact = [rest * weight / sum(weights) for weight in weights]
    given = [int(amount) for amount in exact]
    by_remainder = sorted(range(len(speeds)), key=lambda i: (given[i] - exact[i], i))
    for i in by_remainder[: rest - sum(given)]:
        given[i] += 1
    return tuple(amount + floor for amount in given)


def spans(start: int, amounts: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Consecutive half-open ranges of these lengths from `start`."""
    found = []
    for amount in amounts:
        found.append((start, start + amount))
        start += amount
    return tuple(found)
