"""This machine's clocks. Only reads them; `planning/liveness` draws the conclusions."""

from __future__ import annotations

import time

from cellmind_agent.planning.liveness import Clocks


def read_clocks() -> Clocks:
    """Linux and Android stop CLOCK_MONOTONIC during sleep and have CLOCK_BOOTTIME, which goes on; elsewhere the wall
    clock must do, and a wall clock that somebody sets forward looks like sleep: that costs a redial, no more."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return Clocks(awake=time.monotonic(), elapsed=time.time() if boot is None else time.clock_gettime(boot))
