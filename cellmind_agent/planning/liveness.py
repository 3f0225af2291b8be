"""Is a device there? Decided by authenticated words alone: mDNS records live 75 minutes and prove nothing.

Anything that a device sends proves it alive; when there is nothing else it is asked (Ping). How long to wait for its
next word follows from how long its answers took before, as TCP's retransmission timer does (RFC 6298), with median and
median absolute deviation in place of the means: one late answer of a busy phone must not double everybody's patience.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cellmind_agent.protocol.limits import GONE_SECONDS, PATIENCE_CEILING_SECONDS, PATIENCE_FLOOR_SECONDS
from cellmind_agent.protocol.messages import State

REMEMBERED_ROUND_TRIPS = 30
_MEDIANS, _DEVIATIONS = 4.0, 8.0


def patience(round_trips: Sequence[float]) -> float:
    """Seconds of silence after a question that mean absence, from the last round trips in seconds."""
    if not round_trips:
        return PATIENCE_CEILING_SECONDS / 2
    median = statistics.median(round_trips)
    spread = statistics.median(abs(seconds - median) for seconds in round_trips)
    wanted = _MEDIANS * median + _DEVIATIONS * spread
    return min(max(wanted, PATIENCE_FLOOR_SECONDS), PATIENCE_CEILING_SECONDS)


def liveness(is_linked: bool, seconds_since_heard: float | None, said_goodbye: bool, is_sleeping: bool) -> State:
    """`seconds_since_heard` is None for a device that was never heard since this agent started. A link that was lost a
    moment ago is usually back a moment later."""
    if said_goodbye:
        return "asleep" if is_sleeping else "gone"
    if is_linked:
        return "online"
    if seconds_since_heard is None or seconds_since_heard >= GONE_SECONDS:
        return "gone"
    return "online" if seconds_since_heard < PATIENCE_FLOOR_SECONDS else "asleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The same moment on two clocks, in seconds: one that stops while the machine sleeps, and one that does not."""

    awake: float
    elapsed: float


def seconds_away(before: Clocks, after: Clocks, planned: float) -> float:
    """How long this machine slept, or this process was stopped, between two readings `planned` seconds apart."""
    asleep = (after.elapsed - before.elapsed) - (after.awake - before.awake)
    stopped = (after.awake - before.awake) - planned
    return max(0.0, asleep) + max(0.0, stopped)
