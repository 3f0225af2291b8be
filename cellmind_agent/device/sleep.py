"""Notices that this machine slept, or that this process was stopped. `planning/liveness` draws the conclusion."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from cellmind_agent.planning.liveness import Clocks, seconds_away
from cellmind_agent.protocol.limits import AWAY_SECONDS, CLOCKS_SECONDS

_log = logging.getLogger(__name__)


async def watch_for_sleep(woke: Callable[[float], None]) -> None:
    """Call `woke(seconds)` after each sleep longer than AWAY_SECONDS, until cancelled."""
    while True:
        before = read_clocks()
        await asyncio.sleep(CLOCKS_SECONDS)
        seconds = seconds_away(before, read_clocks(), CLOCKS_SECONDS)
        if seconds > AWAY_SECONDS:
            _log.warning("this device was asleep for %.0f s", seconds)
            woke(seconds)


def read_clocks() -> Clocks:
    """The present moment, on a clock that stops during sleep and on one that does not.

    Linux and Android stop CLOCK_MONOTONIC during sleep, and have CLOCK_BOOTTIME, which continues. Elsewhere the wall
    clock must do; if somebody sets it forward, that looks like sleep, and costs one redial.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return Clocks(awake=time.monotonic(), elapsed=time.time() if boot is None else time.clock_gettime(boot))
