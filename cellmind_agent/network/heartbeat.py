"""Is the other end of a link alive? Pings it again and again, and waits as long as its last answers justify.

Any message of the member is a sign of life, so the pings matter only while nothing else arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from cellmind_agent.network.link import Link
from cellmind_agent.planning.liveness import patience
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnreachableError
from cellmind_agent.protocol.limits import (
    HEARTBEAT_SECONDS,
    REMEMBERED_ROUND_TRIPS,
    REQUEST_SECONDS,
    RUN_HEARTBEAT_SECONDS,
    SILENCE_CHECK_SECONDS,
)


class SilentError(UnreachableError):
    """The member has not said anything for longer than its patience."""


class Heartbeat:
    """The heartbeat of one member over all of its links."""

    def __init__(self, heard_at: Callable[[], float | None], is_in_run: Callable[[], bool]) -> None:
        """`heard_at` is when the member last said anything, on the loop's clock; a run makes the heart beat faster."""
        self._heard_at, self._is_in_run = heard_at, is_in_run
        self._round_trips: deque[float] = deque(maxlen=REMEMBERED_ROUND_TRIPS)

    def note_round_trip(self, seconds: float) -> None:
        """Remember how long an answer took."""
        self._round_trips.append(seconds)

    async def run(self, link: Link) -> None:
        """Ping until the link is lost. Raises SilentError when the member falls silent."""
        while True:
            await asyncio.sleep(RUN_HEARTBEAT_SECONDS if self._is_in_run() else HEARTBEAT_SECONDS)
            sent_at = _now()
            ping = asyncio.create_task(link.request(m.Ping(), seconds=10 * REQUEST_SECONDS))
            try:
                await self._wait_patiently(ping)
                await ping
            finally:
                ping.cancel()
            self.note_round_trip(_now() - sent_at)

    async def _wait_patiently(self, ping: asyncio.Task[m.Done]) -> None:
        """Return when the ping is answered. Raises SilentError after a silence longer than our patience."""
        limit_seconds, silent_since = patience(self._round_trips), _now()
        while True:
            checked_at = _now()
            await asyncio.wait({ping}, timeout=SILENCE_CHECK_SECONDS)
            if ping.done():
                return
            if _now() - checked_at > 2 * SILENCE_CHECK_SECONDS:  # it was this process that stood still
                silent_since = _now()
            silent_since = max(silent_since, self._heard_at() or 0.0)
            if _now() - silent_since > limit_seconds:
                raise SilentError("it was silent for {seconds} s", seconds=f"{limit_seconds:.1f}")


def _now() -> float:
    return asyncio.get_running_loop().time()
