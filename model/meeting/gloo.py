"""The process group gloo, bound to loopback. This file alone knows how gloo publishes and compares addresses.

Each rank publishes in the store where it listens. Trainers see only loopback, so that address is of no use to a rank on
another machine. `GlooStore` gives our port to our agent, and replaces the ports of the others by ports at which our
agent accepts a connection and carries it to the other rank.
"""

from __future__ import annotations

import datetime
import random
import re
import socket
import struct
import sys
from dataclasses import dataclass

import torch.distributed as dist
from torch._C._distributed_c10d import Store

from model.meeting.process_group import Meeting, have_patience, init_process_group, register
from model.meeting.store import LinkStore

_LOOPBACK = "127.0.0.1"
_MAX_OTHER_BYTES = 100  # a value under a rank's key that is longer is an address
_UNPRIVILEGED = range(1024, 65535)
_DYNAMIC = 49152  # ports from here on belong to no registered service
_NUM_CANDIDATES = 200  # forwarders' ports to choose from: nearly all of them are free
_NEVER_DIALLED = 65535  # greater than any port that gloo gets, so gloo waits for the other rank to dial


def join(meeting: Meeting) -> None:
    """Meet the other ranks over gloo. Raises RuntimeError when a rank does not come in time."""
    register("loopback", loopback_gloo)
    store = GlooStore(meeting.agent, meeting.rank, meeting.timeout_seconds, meeting.near)
    init_process_group("loopback", store, meeting)
    have_patience(meeting)


def loopback_gloo(store: Store, rank: int, size: int, timeout: datetime.timedelta) -> dist.ProcessGroupGloo:
    """A gloo group that listens on 127.0.0.1.

    By default gloo takes the interface of the host's name, which many laptops resolve to 127.0.1.1 or not at all.
    """
    options = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined] # the only way to name a device
    options._devices = [dist.ProcessGroupGloo.create_device(hostname=_LOOPBACK)]
    options._timeout = timeout
    return dist.ProcessGroupGloo(store, rank, size, options)


class GlooStore(LinkStore):
    """The store that gloo sees.

    Of two ranks, gloo lets the one with the greater (address, port) dial. So for a rank above ours gloo reads a port
    that it never dials, and for a rank below ours a port that compares smaller than our own.
    """

    _port = 0

    def set(self, key: str, value: str | bytes) -> None:
        """Store `value`. If it is our address, the agent first learns to carry other ranks' bytes to its port."""
        if is_gloo_address(key, value):
            assert isinstance(value, bytes)
            address = GlooAddress.parse(value)
            self._port = address.port
            self.expose(self._port)
            value = address.with_port(address.port)  # without the leftover bytes behind it
        super().set(key, value)

    def get(self, key: str) -> bytes:
        """The value of `key`. In an address of a rank on another machine the port is one of our own loopback."""
        value = super().get(key)
        if not is_gloo_address(key, value):
            return value
        rank = int(key.rpartition("/")[2])
        if rank == self._rank or rank in self._near:
            return value
        address = GlooAddress.parse(value)
        if rank > self._rank:
            return address.with_port(_NEVER_DIALLED)
        return address.with_port(self.forwarder(rank, ports_before(self._port)))


@dataclass(frozen=True, slots=True)
class GlooAddress:
    """The address that gloo's TCP transport on Linux publishes for a rank, as observed in torch 2.13.

        u64    length of the host name
        bytes  host name
        u64    136, the length of the address: sockaddr_storage (128) and a sequence number (8)
        ...    more sequence numbers

    Behind the IPv4 address, sockaddr_storage holds leftover bytes of gloo's stack. They never leave this process.
    """

    before: bytes  # up to the sockaddr
    port: int
    after: bytes  # from the end of the sockaddr

    _SOCKADDR = struct.Struct("=H")
    _SOCKADDR_BYTES = 128

    @classmethod
    def parse(cls, value: bytes) -> GlooAddress:
        """Raises ValueError for any other layout: then only the portable group works."""
        if len(value) < 16:
            raise ValueError(f"gloo's address of {len(value)} bytes")
        (name_length,) = struct.unpack_from("=Q", value, 0)
        start = 8 + name_length + 8
        if len(value) < start + 136 or struct.unpack_from("=Q", value, start - 8) != (136,):
            raise ValueError(f"gloo's address of {len(value)} bytes with a host name of {name_length}")
        if cls._SOCKADDR.unpack_from(value, start) != (socket.AF_INET,):
            raise ValueError("gloo's address is not of IPv4")
        (port,) = struct.unpack_from(">H", value, start + 2)
        return cls(value[:start], port, value[start + cls._SOCKADDR_BYTES :])

    def with_port(self, port: int) -> bytes:
        """The same address in gloo's layout, but on loopback at this port."""
        sockaddr = self._SOCKADDR.pack(socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(_LOOPBACK)
        return self.before + sockaddr + bytes(self._SOCKADDR_BYTES - len(sockaddr)) + self.after


def is_gloo_address(key: str, value: str | bytes) -> bool:
    """Whether `value` is an address: its key ends in context and rank (`.../0/1`), and other values there are short."""
    return isinstance(value, bytes) and re.search(r"(^|/)\d+/\d+$", key) is not None and len(value) > _MAX_OTHER_BYTES


def ports_before(port: int) -> list[int]:
    """Some unprivileged ports that gloo sorts before `port`, those of the dynamic range first (RFC 6335).

    gloo compares ports as they lie in a socket address: in network byte order, read as this machine's integers.
    Raises ValueError when there is none.
    """
    limit = _as_gloo_compares(port)
    before = [other for other in _UNPRIVILEGED if _as_gloo_compares(other) < limit]
    if not before:
        raise ValueError(f"gloo sorts no unprivileged port before {port}")
    random.shuffle(before)
    return sorted(before, key=lambda other: other < _DYNAMIC)[:_NUM_CANDIDATES]


def _as_gloo_compares(port: int) -> int:
    return int.from_bytes(port.to_bytes(2, "big"), sys.byteorder)
