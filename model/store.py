"""The process group's store over the link to the agent: where trainers learn of each other. Nothing listens for it.

gloo publishes, for each rank, where it listens. Trainers see only loopback, so that is of use to nobody else: this
store tells the agent of our port, and presents in place of the others' the ports from which agents carry the bytes.
"""

from __future__ import annotations

import datetime
import random
import re
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist

from model.agent_link import Agent
from model.line.declare import Call
from model.line.meeting import (
    ExposePort,
    OpenForwarder,
    StoreAdd,
    StoreCheck,
    StoreCompareSet,
    StoreDelete,
    StoreGet,
    StoreSet,
)

A = TypeVar("A")

_SLACK_SECONDS = 5.0
_SHORT_BYTES = 100
_LOOPBACK = "127.0.0.1"
_UNPRIVILEGED = range(1024, 65535)
_DYNAMIC = 49152  # ports from here on belong to no registered service
_NUM_CANDIDATES = 200  # forwarders' ports to choose from: nearly all of them are free
_NEVER_DIALLED = 65535  # greater than any port that gloo is given: then gloo waits to be dialled


class LinkStore(dist.Store):  # type: ignore[name-defined, misc] # torch defines it only where built with distributed
    """`torch.distributed.Store` over the link: every key lives in the leader's agent."""

    def __init__(self, agent: Agent, rank: int, seconds: float, near: frozenset[int] = frozenset()) -> None:
        """`near` are the ranks on the same loopback as ours: no agent needs to carry anything to them."""
        super().__init__()
        self._agent, self._rank, self._seconds, self._near = agent, rank, seconds, near

    def set(self, key: str, value: str | bytes) -> None:
        self._ask(StoreSet(key=key, data=_bytes(value)))

    def get(self, key: str) -> bytes:
        return self._ask(StoreGet(keys=(key,), seconds=self._seconds)).data

    def wait(self, keys: list[str], timeout: datetime.timedelta | None = None) -> None:
        self._ask(StoreGet(keys=tuple(keys), seconds=timeout.total_seconds() if timeout else self._seconds))

    def add(self, key: str, value: int) -> int:
        return self._ask(StoreAdd(key=key, amount=value)).number

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        return self._ask(StoreCompareSet(key=key, expected=_bytes(expected), desired=_bytes(desired))).data

    def check(self, keys: list[str]) -> bool:
        return bool(self._ask(StoreCheck(keys=tuple(keys))).number)

    def delete_key(self, key: str) -> bool:
        return bool(self._ask(StoreDelete(key=key)).number)

    def set_timeout(self, timeout: datetime.timedelta) -> None:
        self._seconds = timeout.total_seconds()

    def has_extended_api(self) -> bool:
        return False

    def expose(self, port: int) -> None:
        """Other ranks' connections are to arrive at this loopback port."""
        self._ask(ExposePort(port=port))
        self.set(f"loopback/{self._rank}", str(port).encode())

    def forwarder(self, rank: int, ports: Sequence[int] = ()) -> int:
        """A loopback port, for one connection, that leads to the port which `rank` exposed; one of `ports` if given."""
        if rank in self._near:
            return int(self.get(f"loopback/{rank}"))
        return self._ask(OpenForwarder(rank=rank, ports=tuple(ports))).port

    def _ask(self, call: Call[A]) -> A:
        """The agent's answer. A `StoreGet` may take as long as it says, and the agent a little longer."""
        seconds = call.seconds if isinstance(call, StoreGet) else self._seconds
        return self._agent.ask(call, seconds + _SLACK_SECONDS)


class GlooStore(LinkStore):
    """The store as gloo is to see it. Of two ranks, gloo lets the one with the greater (address, port) dial: so ranks
    above ours get a port that is never dialled, ranks below ours a forwarder that comes before our own port."""

    _port = 0

    def set(self, key: str, value: str | bytes) -> None:
        if is_gloo_address(key, value):
            assert isinstance(value, bytes)
            address = GlooAddress.parse(value)
            self._port = address.port
            self.expose(self._port)
            value = address.with_port(address.port)
        super().set(key, value)

    def get(self, key: str) -> bytes:
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
    """What gloo (TCP transport, Linux) publishes for a rank, as observed in torch 2.13: u64 length of the host name,
    host name, u64 length of an address (136), sockaddr_storage (128) and a sequence number (8), more such numbers.

    Behind the IPv4 address sockaddr_storage has bytes of gloo's stack, which may hold anything: they stay here.
    """

    before: bytes  # up to the sockaddr
    port: int
    after: bytes  # from the sockaddr's end

    _SOCKADDR = struct.Struct("=H")
    _SOCKADDR_BYTES = 128

    @classmethod
    def parse(cls, value: bytes) -> GlooAddress:
        """Raises ValueError when the layout is another one: then only the portable group will do."""
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
        """On loopback, at this port."""
        place = self._SOCKADDR.pack(socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(_LOOPBACK)
        return self.before + place + bytes(self._SOCKADDR_BYTES - len(place)) + self.after


def is_gloo_address(key: str, value: str | bytes) -> bool:
    """gloo's addresses are under keys that end in context and rank, `.../0/1`, and are longer than all else there."""
    return isinstance(value, bytes) and re.search(r"(^|/)\d+/\d+$", key) is not None and len(value) > _SHORT_BYTES


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


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
