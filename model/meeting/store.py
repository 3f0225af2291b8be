"""The process group's store: the keys with which ranks find each other. It works over the link to the agent.

Nothing listens for it: the leader's agent holds every key, and the other agents pass requests on.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
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

_SLACK_SECONDS = 5.0  # for the way to the leader's agent and back, beyond the time for which it waits for a key


class LinkStore(dist.Store):  # type: ignore[name-defined, misc] # torch defines it only where built with distributed
    """`torch.distributed.Store` over the link. Methods raise CallFailedError and TimeoutError."""

    def __init__(self, agent: Agent, rank: int, seconds: float, near: frozenset[int] = frozenset()) -> None:
        """Requests wait for at most `seconds`. No agent carries bytes to the ranks in `near`: we share a loopback."""
        super().__init__()
        self._agent, self._rank, self._seconds, self._near = agent, rank, seconds, near

    def set(self, key: str, value: str | bytes) -> None:
        """Store `value` under `key`, for all ranks."""
        self._ask(StoreSet(key=key, data=_bytes(value)))

    def get(self, key: str) -> bytes:
        """The value of `key`, when some rank has set it."""
        return self._ask(StoreGet(keys=(key,), seconds=self._seconds)).data

    def wait(self, keys: list[str], timeout: datetime.timedelta | None = None) -> None:
        """Return when all `keys` are set."""
        self._ask(StoreGet(keys=tuple(keys), seconds=timeout.total_seconds() if timeout else self._seconds))

    def arrive(self, size: int) -> None:
        """Return when all ranks are at the meeting."""
        self.set(f"arrived/{self._rank}", b"1")
        self.wait([f"arrived/{rank}" for rank in range(size)])

    def add(self, key: str, value: int) -> int:
        """Add `value` to a counter that starts at 0, and return the sum."""
        return self._ask(StoreAdd(key=key, amount=value)).number

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        """Replace `expected` by `desired`, and return the value that `key` has then."""
        return self._ask(StoreCompareSet(key=key, expected=_bytes(expected), desired=_bytes(desired))).data

    def check(self, keys: list[str]) -> bool:
        """Whether all `keys` are set now."""
        return bool(self._ask(StoreCheck(keys=tuple(keys))).number)

    def delete_key(self, key: str) -> bool:
        """Remove `key`, and return whether it was set."""
        return bool(self._ask(StoreDelete(key=key)).number)

    def set_timeout(self, timeout: datetime.timedelta) -> None:
        """Requests from now on wait for at most `timeout`."""
        self._seconds = timeout.total_seconds()

    def has_extended_api(self) -> bool:
        """Torch then uses none of the optional methods (append, multi_get, ...)."""
        return False

    def expose(self, port: int) -> None:
        """The agents carry the bytes of other ranks to this loopback port."""
        self._ask(ExposePort(port=port))
        self.set(f"loopback/{self._rank}", str(port).encode())

    def forwarder(self, rank: int, ports: Sequence[int] = ()) -> int:
        """A loopback port at which our agent takes one connection and carries it to the exposed port of `rank`.

        It is one of `ports`, if given.
        """
        if rank in self._near:
            return int(self.get(f"loopback/{rank}"))
        return self._ask(OpenForwarder(rank=rank, ports=tuple(ports))).port

    def _ask(self, call: Call[A]) -> A:
        """The agent's answer. A `StoreGet` may take as long as it says, and the agent a little longer."""
        seconds = call.seconds if isinstance(call, StoreGet) else self._seconds
        return self._agent.ask(call, seconds + _SLACK_SECONDS)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
