"""What a trainer may ask of this agent: the store, which the leader's agent holds, and ways to the other trainers."""

from __future__ import annotations

import asyncio
from typing import Any

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import NotAllowedError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.runs.participation import Participation
from cellmind_agent.runs.rendezvous import Stores, store_answer, store_request
from model.line import meeting
from model.line.declare import Call, Done


class TrainerCalls:
    """Serves the calls of this device's trainers."""

    def __init__(self, device: DeviceId, peers: Peers, tunnels: Tunnels, stores: Stores) -> None:
        self._device, self._peers, self._tunnels, self._stores = device, peers, tunnels, stores

    async def serve(self, part: Participation, call: Call[Any]) -> object:
        """The answer. Raises CellmindError: the leader refused, the link is lost, no port is free, an unknown call."""
        if part.group is None:
            raise NotAllowedError("this device is between two process groups")
        run, term, roster = part.spec.run, part.group.term, part.group.roster
        match call:
            case meeting.ExposePort():
                self._tunnels.expose(run, term, call.port)
                return Done()
            case meeting.OpenForwarder():
                if not 0 <= call.rank < len(roster):
                    raise ProtocolError("the run has no rank {rank}", rank=call.rank)
                device = roster[call.rank].device
                return meeting.ForwarderOpened(port=await self._tunnels.forward(run, term, device, call.ports))
            case (
                meeting.StoreSet()
                | meeting.StoreGet()
                | meeting.StoreAdd()
                | meeting.StoreCompareSet()
                | meeting.StoreCheck()
                | meeting.StoreDelete()
            ):
                return store_answer(await self._while_in_group(part, store_request(run, term, call)))
        raise ProtocolError("a trainer may not ask for {what}", what=type(call).__name__)

    async def _while_in_group(self, part: Participation, request: m.StoreRequest) -> m.StoreAnswer:
        """The store's answer, unless this device leaves the group first: nobody may come to that meeting any more."""
        group = part.group
        asking = asyncio.create_task(self._ask_store(part, request))
        leaving = asyncio.create_task(part.until(lambda: part.group is not group))
        try:
            await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise NotAllowedError("this device is between two process groups")
            return asking.result()
        finally:
            asking.cancel()
            leaving.cancel()

    async def _ask_store(self, part: Participation, request: m.StoreRequest) -> m.StoreAnswer:
        if part.leader is None:
            raise NotAllowedError("this device is between two process groups")
        if part.leader == self._device:
            return await self._stores.answer(request)
        link = self._peers.link(part.leader)
        answer: m.StoreAnswer = await link.request(request, seconds=None)  # as long as the trainer waits
        return answer
