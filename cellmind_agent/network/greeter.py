"""Greetings between members: who this device is, where others were reached (gossip), when one leaves or wakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import UnreachableError
from cellmind_agent.trust.permissions import Caller


class Greeter:
    """This device's side of every greeting."""

    def __init__(
        self,
        peers: Peers,
        hello: Callable[[bool], m.Hello],
        compare_keyrings: Callable[[Link, m.Welcome], Awaitable[None]],
    ) -> None:
        """`hello` makes this device's greeting; with True, the one for members of a cell that has removed this device.
        `compare_keyrings` is called for each new link."""
        self._peers, self._hello, self._compare_keyrings = peers, hello, compare_keyrings
        self._tasks: set[asyncio.Task[None]] = set()

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {
            m.Hello: self._serve_hello,
            m.TellAddresses: self._serve_addresses,
            m.Ping: self._serve_ping,
            m.Goodbye: self._serve_goodbye,
            m.Woke: self._serve_woke,
        }

    def linked(self, link: Link, welcome: m.Welcome) -> None:
        """A new link: learn addresses from the welcome, compare keyrings, and send our addresses to everybody."""
        self._peers.learn_addresses(welcome.addresses)
        task = asyncio.create_task(self._follow_up(link, welcome), name="greeting")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End what greetings have started."""
        for task in self._tasks:
            task.cancel()

    async def _follow_up(self, link: Link, welcome: m.Welcome) -> None:
        await asyncio.gather(self._compare_keyrings(link, welcome), self._gossip())

    async def _gossip(self) -> None:
        """Two devices that joined at nearly the same time learn of each other from a member that knows both."""
        message = m.TellAddresses(addresses=self._peers.linked_addresses())
        links = [self._peers.link(device) for device in self._peers.online()]
        await asyncio.gather(*(link.request(message) for link in links), return_exceptions=True)

    async def _serve_hello(self, request: m.Hello, caller: Caller) -> m.Welcome:
        if self._peers.wakefulness.is_suspending:
            raise UnreachableError("this device is about to sleep")
        # Only what CURVE has proved counts, not what the message says.
        if caller.device is not None and request.device == caller.device and isinstance(caller.channel, Channel):
            has_port = 0 < request.port < 65536
            address = Address(host=caller.host, port=request.port) if has_port else None
            self._peers.greet(caller.device, caller.channel, address)
        is_former = caller.kind == "former"
        hello = self._hello(is_former)
        return m.Welcome(
            device=hello.device,
            name=hello.name,
            port=hello.port,
            keyring_length=hello.keyring_length,
            keyring_head=hello.keyring_head,
            versions=hello.versions,
            addresses={} if is_former else self._peers.linked_addresses(),
        )

    async def _serve_addresses(self, request: m.TellAddresses, caller: Caller) -> m.Done:
        self._peers.learn_addresses(request.addresses)
        return m.Done()

    async def _serve_ping(self, request: m.Ping, caller: Caller) -> m.Done:
        return m.Done()  # the reception has noted its arrival, as for every message

    async def _serve_goodbye(self, request: m.Goodbye, caller: Caller) -> m.Done:
        if caller.device is not None:
            self._peers.note_goodbye(caller.device, request.why)
        return m.Done()

    async def _serve_woke(self, request: m.Woke, caller: Caller) -> m.Done:
        if caller.device is not None:
            self._peers.note_wake(caller.device, request.seconds)
        return m.Done()
