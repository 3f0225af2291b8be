"""The other members of the cell as seen from here, each with its session, and the strangers nearby.

A device is known by its keys alone. An address is only a hint: a link exists when CURVE has proved that the
member's key answers there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from cellmind_agent.network.address_book import AddressBook
from cellmind_agent.network.channel import Channel
from cellmind_agent.network.connection import Connection
from cellmind_agent.network.dialler import Dialler
from cellmind_agent.network.discovery import Sighting
from cellmind_agent.network.last_seen import LastSeen
from cellmind_agent.network.link import Link
from cellmind_agent.network.peer_session import PeerSession, SessionEvents
from cellmind_agent.network.reception import Reception
from cellmind_agent.network.strangers import Strangers, stranger_view
from cellmind_agent.network.wakefulness import Wakefulness
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import UnreachableError, UsageError
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import GOODBYE_SECONDS, PATIENCE_FLOOR_SECONDS
from cellmind_agent.trust.entries import Member
from cellmind_agent.trust.identity import CurveKeys

_log = logging.getLogger(__name__)


class Peers:
    """A session with every other member. `wire` must be called before the first member is set."""

    def __init__(self, home: Path, keys: CurveKeys, reception: Reception, first_addresses: Iterable[Address]) -> None:
        """At each of `first_addresses` any member may be."""
        self._reception = reception
        self._first_addresses = list(first_addresses)
        self._book = AddressBook(home)
        self._last_seen = LastSeen(home, time.time)
        self._dialler = Dialler(keys, reception)
        self._sessions: dict[DeviceId, PeerSession] = {}
        self._events: SessionEvents | None = None
        self._has_missing = asyncio.Event()
        self.strangers = Strangers()
        self.wakefulness = Wakefulness()

    # -- the agent's side ------------------------------------------------------------------------------------------

    def wire(self, events: SessionEvents) -> None:
        """Connect the sessions with the parts of the agent that need peers themselves."""
        self._events = events

    def set_members(self, members: Iterable[Member]) -> None:
        """Keep a session with each of these, and with nobody else."""
        assert self._events, "wire() first"
        by_device = {member.device: member for member in members}
        for device in self._sessions.keys() - by_device.keys():
            self._sessions.pop(device).cancel()
            self._book.close(device)
        for device, member in by_device.items():
            if device not in self._sessions:
                self._book.open(device)
                self._book.learn(device, self._first_addresses, "asked")
                session = PeerSession(
                    member,
                    self._book,
                    self._last_seen,
                    self._dialler,
                    self._reception,
                    self._events,
                    self._update_missing,
                    self.wakefulness.until_awake,
                )
                self._sessions[device] = session
                sighting = self.strangers.pop(device)
                if sighting:
                    self.add_sighting(sighting)
                session.begin()
            self._sessions[device].wake()
        self._last_seen.keep(by_device)
        self._update_missing()

    async def close(self) -> None:
        """End every session and every connection."""
        for session in self._sessions.values():
            session.cancel()
        await asyncio.gather(*(session.ended() for session in self._sessions.values()))
        self._dialler.close()

    async def say_goodbye(self, why: Literal["stopping", "sleeping"]) -> None:
        """Let every linked member know that this device leaves."""
        links = [session.link for session in self._sessions.values() if session.link]
        calls = [link.request(m.Goodbye(why=why), seconds=GOODBYE_SECONDS) for link in links]
        await asyncio.gather(*calls, return_exceptions=True)

    async def suspend(self) -> None:
        """This machine is about to sleep: the members learn of it, and no link is made until it is awake."""
        self.wakefulness.suspend()
        await self.say_goodbye("sleeping")
        for session in self._sessions.values():
            session.cut()

    def add_sighting(self, sighting: Sighting) -> None:
        """mDNS has heard a device."""
        session = self._sessions.get(sighting.announcement.device)
        if session is None:
            self.strangers.add(sighting)
            return
        # Only multicast counts: a unicast answer says nothing about the network.
        session.is_announced |= sighting.how == "mdns"
        session.learn(sighting.addresses, sighting.how)

    def remove_sighting(self, id_prefix: str) -> None:
        """mDNS reports that the device whose id begins so is gone. A member counts as gone only when it is silent."""
        for device, session in self._sessions.items():
            session.is_announced &= not device.startswith(id_prefix)
        self.strangers.remove(id_prefix)

    def greet(self, device: DeviceId, channel: Channel, address: Address | None) -> None:
        """A member has sent its Hello on `channel`, and says that it listens on `address`."""
        session = self._sessions.get(device)
        if session is None:
            return
        if address:
            session.learn([address], "inbound")
        session.greet_on(channel)

    def reset_after_sleep(self, seconds: float) -> None:
        """This machine slept: every link is made again, and the members learn of the sleep."""
        self.wakefulness.note_sleep()
        for session in self._sessions.values():
            session.reset_after_sleep(seconds)

    def note_goodbye(self, device: DeviceId, why: Literal["stopping", "sleeping"]) -> None:
        """A member has announced that it leaves."""
        if device in self._sessions:
            self._sessions[device].note_goodbye(why)

    def note_wake(self, device: DeviceId, seconds: float) -> None:
        """A member reports that it slept for so long."""
        if device in self._sessions:
            _log.info("%s was asleep for %.0f s", self._sessions[device].member.name, seconds)
            self._sessions[device].goodbye = None
            self._sessions[device].wake()

    def learn_addresses(self, addresses: Mapping[DeviceId, str]) -> None:
        """A member reports where others were reached (gossip)."""
        for device, text in addresses.items():
            with contextlib.suppress(UsageError):
                if device in self._sessions:
                    self._sessions[device].learn([parse_address(text)], "gossip")

    # -- queries ---------------------------------------------------------------------------------------------------

    def link(self, device: DeviceId) -> Link:
        """The link to a member. Raises UnreachableError when there is none now."""
        session = self._sessions.get(device)
        if session is None or session.link is None or session.link.is_lost:
            raise UnreachableError("{name} cannot be reached now", "cellmindctl peers", name=self.name(device))
        return session.link

    def devices(self) -> list[DeviceId]:
        """All other members."""
        return list(self._sessions)

    def online(self) -> list[DeviceId]:
        """The other members that have a link now."""
        # A session notices the loss of its link a moment later, so the link itself is asked too.
        return [
            device
            for device, session in self._sessions.items()
            if session.link and not session.link.is_lost and session.state() == "online"
        ]

    def is_silent(self, device: DeviceId) -> bool:
        """Whether nothing was heard of the member for so long that one of the two must be asleep or cut off."""
        session = self._sessions.get(device)
        seconds = session.seconds_since_heard() if session else None
        return self.wakefulness.explains_losses or (seconds is not None and seconds >= PATIENCE_FLOOR_SECONDS)

    async def until_absent(self, device: DeviceId) -> None:
        """Return when a device is not online: at once for one that is no member."""
        session = self._sessions.get(device)
        if session:
            await session.until_absent()

    def name(self, device: DeviceId) -> str:
        """The member's name, or the beginning of an unknown device's id."""
        session = self._sessions.get(device)
        return session.member.name if session else short(device)

    def linked_addresses(self) -> dict[DeviceId, str]:
        """Where this device has reached each linked member, for gossip."""
        return {
            device: str(session.link.channel.address)
            for device, session in self._sessions.items()
            if session.link and isinstance(session.link.channel, Connection)
        }

    def known_addresses(self, device: DeviceId) -> tuple[Address, ...]:
        """Every address where the member may be, best first."""
        return tuple(self._book.of(device))

    def missing_hosts(self) -> list[str]:
        """The hosts where members without a link may be."""
        missing = [device for device, session in self._sessions.items() if session.link is None]
        return [address.host for device in missing for address in self._book.of(device)]

    @property
    def has_missing(self) -> bool:
        """True while a member has no link."""
        return self._has_missing.is_set()

    async def wait_for_missing(self) -> None:
        """Return as soon as a member has no link."""
        await self._has_missing.wait()

    def views(self) -> list[m.PeerView]:
        """Every member, then every stranger nearby."""
        members = [self._member_view(session) for session in self._sessions.values()]
        return members + [stranger_view(sighting) for sighting in self.strangers]

    # -- dialling --------------------------------------------------------------------------------------------------

    async def dial(self, address: Address, server_key: bytes) -> Link:
        """A link to the agent with this key at this address, member or not. Raises UnreachableError."""
        return await self._dialler.dial(address, server_key)

    async def dial_again(self, device: DeviceId) -> Link | None:
        """A second connection to a linked member, for a tunnel; None when only the member can dial."""
        channel = self.link(device).channel
        if isinstance(channel, Connection):
            return await self.dial(channel.address, channel.curve_key)
        return None

    async def try_dial(self, device: DeviceId, address: Address) -> m.Outcome:
        """How dialling this member there ends, tried on a separate connection."""
        return await self._dialler.try_dial(address, self._sessions[device].member.curve_key)

    async def connect(self, address: Address) -> tuple[DeviceId, str]:
        """Find which member listens at `address`, and remember it there. Raises UnreachableError."""
        if not self._sessions:
            raise UnreachableError("this cell has no other device", "join or invite one first: cellmindctl invite")
        # The address does not show whose it is, so every member's key is tried there.
        sessions = list(self._sessions.values())
        dialling = (self.dial(address, session.member.curve_key) for session in sessions)
        results = await asyncio.gather(*dialling, return_exceptions=True)
        for session, result in zip(sessions, results, strict=True):
            if isinstance(result, Link):
                result.channel.close()
                session.learn([address], "asked")
                self._book.save()
                return session.member.device, session.member.name
        raise UnreachableError(
            "no device of this cell answers at {address} ({results})",
            "cellmindctl peers --wide",
            address=address,
            results=results[0],
        )

    def _update_missing(self) -> None:
        if any(session.link is None for session in self._sessions.values()):
            self._has_missing.set()
        else:
            self._has_missing.clear()

    def _member_view(self, session: PeerSession) -> m.PeerView:
        member = session.member
        return m.PeerView(
            id=member.device,
            name=session.vitals.name if session.vitals else member.name,
            role=member.role,
            paired=True,
            state=session.state(),
            is_self=False,
            addresses=tuple(str(address) for address in self._book.of(member.device)),
            seen_seconds=session.seen_seconds(),
            how=session.source,
            is_announced=session.is_announced,
            vitals=session.vitals,
        )
