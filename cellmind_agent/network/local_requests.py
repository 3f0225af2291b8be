"""What this device's user asks of its links: to pass a request on to another device, to find a member at an address."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import parse_address
from cellmind_agent.protocol.codec import decode
from cellmind_agent.protocol.errors import NotAllowedError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.trust.permissions import Caller, may_ask


class LocalRequests:
    """The command line talks to its own agent alone; the agent's links lead to the others."""

    def __init__(self, device: DeviceId, peers: Peers) -> None:
        self._device, self._peers = device, peers

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.Relay: self._relay, m.ConnectAddress: self._connect}

    async def _relay(self, request: m.Relay, caller: Caller) -> AsyncIterator[object]:
        """Pass on the request in `body`, and its answers back. The other device sees it as this member's."""
        message = decode(request.body).message
        as_member = Caller(kind="member", curve_key=b"", device=self._device, host="")
        # What only a device's own user may ask is never relayed.
        if not may_ask(as_member, type(message)):
            raise NotAllowedError("{what} is not for another device", what=type(message).__name__)
        async for answer in self._peers.link(request.device).forward(message):
            yield answer

    async def _connect(self, request: m.ConnectAddress, caller: Caller) -> m.AddressConnected:
        device, name = await self._peers.connect(parse_address(request.address))
        return m.AddressConnected(device=device, name=name)
