"""Keeps floods of strangers out, in the kernel.

Every connection costs work before its key is known. A guest who opens thousands must not slow a run. Closing the port
would not help, because libzmq then ends all its connections. So the listening socket gets a packet filter for a
while (classic BPF, SO_ATTACH_FILTER; needs no privilege; Linux and Android). It drops the packets of the addresses that
opened too many connections, or everybody's where the addresses are not known. Connections that are already open have
other sockets, so the filter does not affect them.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import logging
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Sequence

from cellmind_agent.protocol.limits import (
    BAN_SECONDS,
    MAX_BANNED_ADDRESSES,
    SHUT_SECONDS,
    STRANGERS_AT_ONCE,
    STRANGERS_PER_SECOND,
)

_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_LOAD_WORD, _LOAD_BYTE, _SHIFT_RIGHT, _JUMP_IF_EQUAL, _JUMP, _RETURN = 0x20, 0x30, 0x74, 0x15, 0x05, 0x06
_IP_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets from the start of the IP header
_log = logging.getLogger(__name__)


class FloodGuard:
    """Counts the strangers at one listening socket (a token bucket), and acts when there are too many."""

    def __init__(self, listening: int) -> None:
        """`listening` is the socket's file descriptor, of which a copy is kept."""
        self._socket = socket.socket(fileno=os.dup(listening))
        self._loop = asyncio.get_running_loop()
        self._tokens, self._counted_at = float(STRANGERS_AT_ONCE), self._loop.time()
        self._strangers: Counter[str | None] = Counter()  # by address, since the bucket was last full
        self._open_at = 0.0

    def count(self, address: str | None) -> None:
        """Count a new connection as a stranger's; None stands for one that ended before its address was read."""
        now = self._loop.time()
        self._tokens += (now - self._counted_at) * STRANGERS_PER_SECOND
        self._counted_at = now
        if self._tokens >= STRANGERS_AT_ONCE:
            self._tokens = STRANGERS_AT_ONCE
            self._strangers.clear()
        self._tokens -= 1
        self._strangers[address] += 1
        if self._tokens < 0 and now >= self._open_at:
            self._act(now)

    def discount(self, address: str) -> None:
        """A counted connection has proved an admitted key: it was no stranger's."""
        self._tokens += 1
        self._strangers[address] -= 1

    def close(self) -> None:
        """Close the copy of the listening socket."""
        self._socket.close()

    def _act(self, now: float) -> None:
        most_common = self._strangers.most_common(MAX_BANNED_ADDRESSES)
        worst = [address for address, count in most_common if count > STRANGERS_AT_ONCE / 4]
        named = [address for address in worst if address is not None]
        # Connections that ended before their address was read may be anybody's.
        everybody = None in worst or not named
        seconds = SHUT_SECONDS if everybody else BAN_SECONDS
        if not sys.platform.startswith(("linux", "android")):
            _log.warning("a flood of strangers at the port; this system cannot filter them")
            self._open_at = now + BAN_SECONDS
            return
        _log.warning(
            "a flood of strangers: new connections of %s are dropped for %g s",
            "everybody" if everybody else ", ".join(named),
            seconds,
        )
        self._open_at = now + seconds
        self._attach(drop_all() if everybody else drop_from(named))
        self._loop.call_later(seconds, self._detach)

    def _attach(self, program: Sequence[bytes]) -> None:
        code = ctypes.create_string_buffer(b"".join(program))
        self._set(_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))

    def _detach(self) -> None:
        # Half full: a flood that continues is noticed sooner.
        self._tokens, self._counted_at = STRANGERS_AT_ONCE / 2, self._loop.time()
        self._strangers.clear()
        if self._socket.fileno() >= 0:
            self._set(_DETACH_FILTER, struct.pack("i", 0))

    def _set(self, option: int, value: bytes) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, option, value)
        except OSError as error:
            _log.warning("cannot filter at the port: %s", error)


def drop_all() -> list[bytes]:
    """A filter program that drops every packet."""
    return [_instruction(_RETURN, 0)]


def drop_from(addresses: Sequence[str]) -> list[bytes]:
    """A filter program that drops the packets of these IP addresses; of IPv6 addresses it compares the last 4 bytes."""
    words = [int(ipaddress.ip_address(address)) & 0xFFFFFFFF for address in addresses]
    # Each test jumps to the last instruction, which drops.
    tests = [_instruction(_JUMP_IF_EQUAL, word, if_true=len(words) - index) for index, word in enumerate(words)]
    return [
        _instruction(_LOAD_BYTE, _IP_HEADER),
        _instruction(_SHIFT_RIGHT, 4),
        _instruction(_JUMP_IF_EQUAL, 6, if_true=2),
        _instruction(_LOAD_WORD, _IP_HEADER + 12),  # source, IPv4
        _instruction(_JUMP, 1),
        _instruction(_LOAD_WORD, _IP_HEADER + 20),  # source, IPv6: its end
        *tests,
        _instruction(_RETURN, 0xFFFFFFFF),
        _instruction(_RETURN, 0),
    ]


def _instruction(code: int, value: int, if_true: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, 0, value)
