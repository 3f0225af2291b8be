"""Devices that share one machine, as in a test or a demo, tune one after the other: at once each would spoil the
others' times."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PATIENCE_SECONDS = 60.0  # then this one tunes all the same: a tuning that is wrong is better than no run
_PAUSE_SECONDS = 0.05


@contextlib.contextmanager
def turn(path: Path | None = None, patience_seconds: float = _PATIENCE_SECONDS) -> Iterator[None]:
    """Only one process of this user on this machine is inside at a time, if the system has file locks.

    The lock is at `path`, by default in the folder for temporary files.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            path = path or Path(tempfile.gettempdir()) / f"cellmind-tuning-{os.getuid()}.lock"
            # Others can write in that folder: follow no link that they placed there.
            handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, handle)  # which gives the lock back
            until = time.monotonic() + patience_seconds
            while time.monotonic() < until:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_PAUSE_SECONDS)
        yield
