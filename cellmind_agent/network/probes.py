"""Finds out which devices can dial each other: tried by every device that is online, whenever `doctor` runs."""

from __future__ import annotations

import asyncio
import time
from typing import get_args

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.planning.reach import Reach
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import DIAL_SECONDS
from cellmind_agent.trust.permissions import Caller

_BEST_FIRST: tuple[m.Outcome, ...] = ("reached", "unknown", "other", "refused", "silent")
assert set(_BEST_FIRST) == set(get_args(m.Outcome))


class Probes:
    """Dials the other members, and has them dial each other."""

    def __init__(self, device: DeviceId, peers: Peers) -> None:
        self._device, self._peers = device, peers

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.ProbeReach: self._serve}

    async def probe_pairs(self) -> list[Reach]:
        """The result for every ordered pair of devices whose first is online."""
        devices = [self._device, *self._peers.devices()]
        diallers = [self._device, *self._peers.online()]
        pairs = [(one, other) for one in diallers for other in devices if one != other]
        return list(await asyncio.gather(*(self._probe_pair(one, other) for one, other in pairs)))

    async def _probe_pair(self, one: DeviceId, other: DeviceId) -> Reach:
        probed: m.ReachProbed | None = None
        try:
            if one == self._device:
                probed = await self.probe(other)
            else:
                request = m.ProbeReach(device=other)
                probed = await self._peers.link(one).request(request, 2 * DIAL_SECONDS)
        except CellmindError:
            pass  # the dialler itself did not answer
        return Reach(dialler=one, target=other, probed=probed, here=time.time())

    async def probe(self, device: DeviceId) -> m.ReachProbed:
        """Dial the device at every known address; the best outcome of all."""
        addresses = self._peers.known_addresses(device)
        started = asyncio.get_running_loop().time()
        outcomes = await asyncio.gather(*(self._peers.try_dial(device, address) for address in addresses))
        found = sorted(zip(outcomes, addresses, strict=True), key=lambda pair: _BEST_FIRST.index(pair[0]))
        return m.ReachProbed(
            outcome=found[0][0] if found else None,
            address=str(found[0][1]) if found else None,
            seconds=asyncio.get_running_loop().time() - started,
            time=time.time(),
        )

    async def _serve(self, request: m.ProbeReach, caller: Caller) -> m.ReachProbed:
        return await self.probe(request.device)
