"""Ends the wait for a rank that does not answer. torch offers no way to abort a process group on CPUs."""

from __future__ import annotations

import contextlib
import os
import socket

_MAX_HANDLES = 4096  # where the system does not list those that are open


def cut_connections() -> None:
    """Shut down every TCP connection of this process, from any thread. Calls that read or write there fail at once.

    A trainer has no connections but those of its process group.
    """
    for handle in _open_handles():
        # OSError: no socket, not connected, or closed meanwhile
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(handle)) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                connection.getpeername()
                connection.shutdown(socket.SHUT_RDWR)


def _open_handles() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return list(range(3, _MAX_HANDLES))
