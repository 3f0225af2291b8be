"""Who is there: the other members, each with its acquaintance, and the strangers that mDNS has heard.

A device is known by its keys alone. An address is only a hint, whoever gave it: the link stands when CURVE has proved
that the member's key answers there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from cellmind_agent.network.acquaintance import Acquaintance, Dialler, Greeting
from cellmind_agent.network.addresses import AddressBook
from cellmind_agent.network.discovery import Sighting
from cellmind_agent.network.link import Link
from cellmind_agent.network.reception import Reception
from cellmind_agent.network.wire import Channel, Connection
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import UnreachableError, UsageError
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.trust.identity import CurveKeys
from cellmind_agent.trust.keyring import Member

_log = logging.getLogger(__name__)
_MAX_STRANGERS = 64


class Peers:
    """The other members of the cell, as seen from here."""

    def __init__(self, home: Path, keys: CurveKeys, greeting: Greeting, reception: Reception) -> None:
        self._greeting, self._reception = greeting, reception
        self._book = AddressBook(home)
        self._dialler = Dialler(keys, reception)
        self._peers: dict[DeviceId, Acquaintance] = {}
        self._strangers: dict[DeviceId, Sighting] = {}
        self._asked: list[Address] = []

    # -- the agent's side ------------------------------------------------------------------------------------------

    def set_members(self, members: Iterable[Member]) -> None:
        """Keep a link to each of these, and to nobody else."""
        wanted = {member.device: member for member in members}
        for device in self._peers.keys() - wanted.keys():
            self._peers.pop(device).drop()
            self._book.close(device)
        for device, member in wanted.items():
            if device not in self._peers:
                self._book.open(device)
                self._book.learn(device, self._asked, "asked")
                peer = Acquaintance(member, self._book, self._dialler, self._reception, self._greeting)
                self._peers[device] = peer
                if device in self._strangers:
                    self.sighted(self._strangers.pop(device))
                peer.begin()
            self._peers[device].wake()

    async def close(self) -> None:
        for peer in self._peers.values():
            peer.drop()
        await asyncio.gather(*(peer.end() for peer in self._peers.values()))
        self._dialler.close()

    async def say_goodbye(self, why: Literal["stopping", "sleeping"]) -> None:
        links = [peer.link for peer in self._peers.values() if peer.link]
        calls = [link.request(m.Goodbye(why=why), seconds=1.0) for link in links]
        await asyncio.gather(*calls, return_exceptions=True)

    def sighted(self, sighting: Sighting) -> None:
        """mDNS heard somebody."""
        device = sighting.announcement.device
        peer = self._peers.get(device)
        if peer is None:
            if device in self._strangers or len(self._strangers) < _MAX_STRANGERS:
                self._strangers[device] = sighting
            return
        peer.is_announced |= sighting.how == "mdns"
        peer.learn(sighting.addresses, sighting.how)

    def unsighted(self, beginning: str) -> None:
        """mDNS says that the device whose id begins so is gone. For members only silence counts, so strangers go."""
        for device, peer in self._peers.items():
            peer.is_announced &= not device.startswith(beginning)
        for device in [device for device in self._strangers if device.startswith(beginning)]:
            del self._strangers[device]

    def called(self, device: DeviceId, channel: Channel, address: Address | None) -> None:
        """A member said Hello to us on `channel`, and says that it listens on `address`."""
        peer = self._peers.get(device)
        if peer is None:
            return
        if address:
            peer.learn([address], "inbound")
        peer.called(channel)

    def woke(self, seconds: float) -> None:
        """This machine slept: whatever stood before may be dead without knowing it. The others are told."""
        for peer in self._peers.values():
            peer.slept = seconds
            peer.cut()
            peer.wake()

    def said_goodbye(self, device: DeviceId, why: Literal["stopping", "sleeping"]) -> None:
        if device in self._peers:
            self._peers[device].goodbye = why

    def said_woken(self, device: DeviceId, seconds: float) -> None:
        if device in self._peers:
            _log.info("%s was asleep for %.0f s", self._peers[device].member.name, seconds)
            self._peers[device].goodbye = None
            self._peers[device].wake()

    def told(self, addresses: Mapping[DeviceId, str]) -> None:
        """A member says where others were."""
        for device, text in addresses.items():
            with contextlib.suppress(UsageError):
                if device in self._peers:
                    self._peers[device].learn([parse_address(text)], "told")

    def try_everywhere(self, address: Address) -> None:
        """`--peer`: whoever of the cell listens there."""
        self._asked.append(address)
        for peer in self._peers.values():
            peer.learn([address], "asked")

    # -- what others need ------------------------------------------------------------------------------------------

    def link(self, device: DeviceId) -> Link:
        """The standing link. Raises UnreachableError."""
        peer = self._peers.get(device)
        if peer is None or peer.link is None or peer.link.is_lost:
            name = peer.member.name if peer else short(device)
            raise UnreachableError(f"{name} cannot be reached now", "cellmindctl peers")
        return peer.link

    def devices(self) -> list[DeviceId]:
        """All other members."""
        return list(self._peers)

    def online(self) -> list[DeviceId]:
        return [device for device, peer in self._peers.items() if peer.link and peer.state() == "online"]

    def state(self, device: DeviceId) -> m.State:
        peer = self._peers.get(device)
        return peer.state() if peer else "gone"

    def name(self, device: DeviceId) -> str:
        peer = self._peers.get(device)
        return peer.member.name if peer else short(device)

    def addresses(self) -> dict[DeviceId, str]:
        """Where each linked member is, to tell others."""
        return {
            device: str(peer.link.channel.address)
            for device, peer in self._peers.items()
            if peer.link and isinstance(peer.link.channel, Connection)
        }

    def known_addresses(self, device: DeviceId) -> tuple[Address, ...]:
        return tuple(self._book.of(device))

    def missing_hosts(self) -> list[str] | None:
        """Where members that are not linked were once; None when all are linked."""
        missing = [device for device, peer in self._peers.items() if peer.link is None]
        return [address.host for device in missing for address in self._book.of(device)] if missing else None

    def inviters(self, nameplate: str) -> list[Sighting]:
        """Who announces an open invitation of this number."""
        return [seen for seen in self._strangers.values() if seen.announcement.nameplate == nameplate]

    def views(self) -> list[m.PeerView]:
        """Every member, then every stranger nearby."""
        members = [
            m.PeerView(
                id=device,
                name=peer.vitals.name if peer.vitals else peer.member.name,
                role=peer.member.role,
                paired=True,
                state=peer.state(),
                is_self=False,
                addresses=tuple(str(address) for address in self._book.of(device)),
                seen_seconds=peer.seen_seconds(),
                how=peer.how,
                is_announced=peer.is_announced,
                vitals=peer.vitals,
            )
            for device, peer in self._peers.items()
        ]
        strangers = [
            m.PeerView(
                id=device,
                name=short(device),
                role=None,
                paired=False,
                state="online",
                is_self=False,
                addresses=tuple(str(address) for address in seen.addresses),
                how=seen.how,
            )
            for device, seen in self._strangers.items()
        ]
        return members + strangers

    async def dial(self, address: Address, server_key: bytes) -> Link:
        """A link to the agent with this key at this address, member or not. Raises UnreachableError."""
        return await self._dialler.dial(address, server_key)

    async def dial_again(self, device: DeviceId) -> Link | None:
        """One more connection to a linked member, for what must not mix with messages; None when only it can dial."""
        channel = self.link(device).channel
        if isinstance(channel, Connection):
            return await self.dial(channel.address, channel.curve_key)
        return None

    async def try_dial(self, device: DeviceId, address: Address) -> m.Outcome:
        """How dialling this member there ends, on a connection of its own."""
        return await self._dialler.try_dial(address, self._peers[device].member.curve_key)

    async def connect(self, address: Address) -> tuple[DeviceId, str]:
        """Which member listens at `address`? It is remembered there. Raises UnreachableError."""
        if not self._peers:
            raise UnreachableError("this cell has no other device", "join or invite one first: cellmindctl invite")
        tries = {
            device: asyncio.create_task(self.dial(address, peer.member.curve_key))
            for device, peer in self._peers.items()
        }
        await asyncio.wait(tries.values())
        errors = [task.exception() for task in tries.values()]
        for device, task in tries.items():
            if task.exception() is None:
                task.result().channel.close()
                self._peers[device].learn([address], "asked")
                self._book.save()
                return device, self._peers[device].member.name
        raise UnreachableError(f"no device of this cell answers at {address} ({errors[0]})", "cellmindctl peers --wide")
