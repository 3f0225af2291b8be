"""Is a device there? Decided by authenticated heartbeats alone: mDNS records live 75 minutes and prove nothing."""

from __future__ import annotations

from cellmind_agent.protocol.limits import GONE_SECONDS, SILENCE_SECONDS
from cellmind_agent.protocol.messages import State


def liveness(seconds_since_heard: float | None, said_goodbye: bool, is_sleeping: bool) -> State:
    """`seconds_since_heard` is None for a device that was never heard since this agent started."""
    if said_goodbye:
        return "asleep" if is_sleeping else "gone"
    if seconds_since_heard is None or seconds_since_heard >= GONE_SECONDS:
        return "gone"
    return "online" if seconds_since_heard < SILENCE_SECONDS else "asleep"
