"""Decides whether a device is there, by authenticated messages alone: mDNS records live 75 minutes and prove nothing.

Any message of a device proves it alive; when it is quiet it is pinged. How long to wait for the answer follows from
earlier round trips, as TCP's retransmission timer does (RFC 6298), but with the median and the median absolute
deviation instead of means: one late answer of a busy phone must not double everybody's patience.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cellmind_agent.protocol.limits import GONE_SECONDS, PATIENCE_CEILING_SECONDS, PATIENCE_FLOOR_SECONDS
from cellmind_agent.protocol.messages import State

_MEDIAN_FACTOR, _DEVIATION_FACTOR = 4.0, 8.0


def patience(round_trips: Sequence[float]) -> float:
    """After how many seconds of silence a pinged device counts as absent, from the last round trips in seconds."""
    if not round_trips:
        return PATIENCE_CEILING_SECONDS / 2
    median = statistics.median(round_trips)
    spread = statistics.median(abs(round_trip - median) for round_trip in round_trips)
    seconds = _MEDIAN_FACTOR * median + _DEVIATION_FACTOR * spread
    return min(max(seconds, PATIENCE_FLOOR_SECONDS), PATIENCE_CEILING_SECONDS)


def liveness(is_linked: bool, seconds_since_heard: float | None, said_goodbye: bool, is_sleeping: bool) -> State:
    """The state of a device. `seconds_since_heard` is None if it was not heard since this agent started.

    A device whose link was lost a moment ago still counts as online: the link is usually back a moment later.
    """
    if said_goodbye:
        return "asleep" if is_sleeping else "gone"
    if is_linked:
        return "online"
    if seconds_since_heard is None or seconds_since_heard >= GONE_SECONDS:
        return "gone"
    return "online" if seconds_since_heard < PATIENCE_FLOOR_SECONDS else "asleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """One moment on two clocks, in seconds: `awake` stops while the machine sleeps, `elapsed` does not."""

    awake: float
    elapsed: float


def seconds_away(before: Clocks, after: Clocks, planned: float) -> float:
    """How many seconds the machine slept, or the process was stopped, between readings meant to be `planned` apart."""
    asleep = (after.elapsed - before.elapsed) - (after.awake - before.awake)
    stopped = (after.awake - before.awake) - planned
    return max(0.0, asleep) + max(0.0, stopped)
