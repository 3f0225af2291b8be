"""TCP connections of libzmq, reached by their file descriptors: libzmq cannot name or close one connection alone."""

from __future__ import annotations

import contextlib
import os
import socket


def remote_address(file_descriptor: int) -> tuple[str, int] | None:
    """The other end's IP address and port, or None when the connection is gone."""
    try:
        with socket.socket(fileno=os.dup(file_descriptor)) as twin:
            host, port, *_ = twin.getpeername()
            return str(host), int(port)
    except OSError:
        return None


def local_port(file_descriptor: int) -> int | None:
    """The port at this end, or None when the connection is gone."""
    try:
        with socket.socket(fileno=os.dup(file_descriptor)) as twin:
            return int(twin.getsockname()[1])
    except OSError:
        return None


def shut_down(file_descriptor: int) -> None:
    """End the connection. libzmq sees the same as when the other end closes it."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(file_descriptor)) as twin:
        twin.shutdown(socket.SHUT_RDWR)
