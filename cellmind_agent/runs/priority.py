"""The scheduling priority of a child process."""

from __future__ import annotations

import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)


def lower_priority(pid: int, nice: int) -> None:
    """Let the process run after others. Call it directly after its start: later threads inherit the priority.

    It never raises: a system that refuses leaves the process as it is. `nice` 0 changes nothing.
    """
    if nice <= 0 or not hasattr(os, "setpriority"):
        return
    try:
        os.setpriority(os.PRIO_PROCESS, pid, max(nice, os.getpriority(os.PRIO_PROCESS, pid)))
        if hasattr(os, "SCHED_BATCH"):  # a batch thread does not interrupt another one when it wakes
            os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))
        # Linux shares the processor between sessions first (autogroup), and a child has a session of its own.
        group = Path(f"/proc/{pid}/autogroup")
        if group.exists():
            group.write_text(str(nice), encoding="utf-8")
    except OSError as error:
        _log.warning("cannot lower the priority of process %d: %s", pid, error.strerror)
