"""What this device shows of itself and of the devices that it sees: the list of peers, and its own vitals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.alarms import alarm_sentence
from cellmind_agent.device.vitals_monitor import VitalsMonitor
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.trust.permissions import Caller


class Overview:
    """Reads; changes nothing."""

    def __init__(
        self,
        admission: Admission,
        vitals: VitalsMonitor,
        peers: Peers,
        tunnels: Tunnels,
        own_addresses: Callable[[], tuple[Address, ...]],
    ) -> None:
        self._admission, self._vitals, self._peers, self._tunnels = admission, vitals, peers, tunnels
        self._own_addresses = own_addresses

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.ListPeers: self._list_peers, m.WatchVitals: self._watch_vitals}

    def views(self) -> tuple[m.PeerView, ...]:
        """This device, the other members, then the strangers nearby."""
        vitals = self._vitals.current()
        myself = m.PeerView(
            id=self._admission.me.device,
            name=vitals.name,
            role=self._admission.me.role,
            paired=True,
            state="online",
            is_self=True,
            addresses=tuple(str(address) for address in self._own_addresses()),
            seen_seconds=0.0,
            how="local",
            vitals=vitals,
        )
        carried_bytes = self._tunnels.carried_bytes()
        others = (replace(view, carried_bytes=carried_bytes.get(view.id, 0)) for view in self._peers.views())
        return (myself, *others)

    async def _list_peers(self, request: m.ListPeers, caller: Caller) -> m.PeerList:
        alarms = tuple(alarm_sentence(alarm) for alarm in self._admission.keyring.alarms)
        return m.PeerList(peers=self.views(), alarms=alarms)

    async def _watch_vitals(self, request: m.WatchVitals, caller: Caller) -> AsyncIterator[m.VitalsChanged]:
        async for vitals in self._vitals.watch():
            yield m.VitalsChanged(vitals=vitals)
