"""Where other devices can reach this one."""

from __future__ import annotations

from collections.abc import Sequence

from cellmind_agent.config import WILDCARD_HOSTS
from cellmind_agent.network.interfaces import choose_interfaces, read_interfaces
from cellmind_agent.network.listener import Listener
from cellmind_agent.protocol.address import Address


class OwnAddresses:
    """The addresses of this agent's port, read from the machine whenever they are needed."""

    def __init__(self, listener: Listener, host: str, key: bytes, interfaces: Sequence[str]) -> None:
        """`host` is what the agent listens on; `interfaces` are as in `choose_interfaces`."""
        self._listener, self._host, self._key, self._interfaces = listener, host, key, interfaces

    def current(self) -> tuple[Address, ...]:
        """Each address with this agent's key; loopback if the machine has no network now."""
        hosts = [self._host]
        if self._host in WILDCARD_HOSTS:
            hosts = [i.address for i in choose_interfaces(read_interfaces(), self._interfaces)]
        return tuple(Address(host=host, port=self._listener.port, key=self._key) for host in hosts or ["127.0.0.1"])

    def local(self) -> Address:
        """Where programs on this machine reach the agent."""
        host = "127.0.0.1" if self._host in WILDCARD_HOSTS else self._host
        return Address(host=host, port=self._listener.port)
