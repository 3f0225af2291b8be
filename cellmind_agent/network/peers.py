"""Who is there: one patient dialler per member of the cell, one link each, heartbeats that prove it.

A device is known by its keys alone. An address is only a hint, whoever gave it: the link stands when CURVE has proved
that the member's key answers there. A device that can only dial out is reached over the connection that it dialled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cellmind_agent.network.addresses import AddressBook, Rung
from cellmind_agent.network.discovery import Sighting
from cellmind_agent.network.link import Link
from cellmind_agent.network.reception import Reception
from cellmind_agent.network.wire import Channel, Connection, new_context
from cellmind_agent.planning.liveness import REMEMBERED_ROUND_TRIPS, liveness, patience
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import CellmindError, UnreachableError, UsageError
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import (
    DIAL_SECONDS,
    HEARTBEAT_SECONDS,
    REDIAL_FIRST_SECONDS,
    REDIAL_LAST_SECONDS,
    REQUEST_SECONDS,
    RUN_HEARTBEAT_SECONDS,
)
from cellmind_agent.trust.identity import CurveKeys
from cellmind_agent.trust.keyring import Member

How = Rung | Literal["called"]  # `called`: over a connection that it dialled
_log = logging.getLogger(__name__)
_MAX_DIALS = 8
_MAX_STRANGERS = 64
_EAGER_DIALS = 5  # then no waking makes us dial more often than every REDIAL_FIRST_SECONDS
_CALLED_SECONDS = 0.3  # a connection that it dialled stands: how much longer ours may take
_GLANCE_SECONDS = 0.25  # how often a silence is measured


@dataclass(slots=True, kw_only=True)
class _Peer:
    """What is known of one member. `called` is a link over a connection that it dialled."""

    member: Member
    link: Link | None = None
    called: Link | None = None
    how: How | None = None
    vitals: m.Vitals | None = None
    goodbye: Literal["stopping", "sleeping"] | None = None
    slept: float | None = None  # seconds that this machine slept, which the other has not been told yet
    round_trips: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED_ROUND_TRIPS))
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    has_called: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the agent says of itself when a link stands, whom it tells about it, and about a silence."""

    hello: Callable[[], m.Hello]
    welcomed: Callable[[DeviceId, Link, m.Welcome], None]
    fell_silent: Callable[[DeviceId], None]
    is_in_run: Callable[[], bool]


class Peers:
    """The other members of the cell, as seen from here."""

    def __init__(self, home: Path, keys: CurveKeys, greeting: Greeting, reception: Reception) -> None:
        self._keys, self._greeting, self._reception = keys, greeting, reception
        self._book = AddressBook(home)
        self._context = new_context()
        self._peers: dict[DeviceId, _Peer] = {}
        self._strangers: dict[DeviceId, Sighting] = {}
        self._asked: list[Address] = []

    # -- the agent's side ------------------------------------------------------------------------------------------

    def set_members(self, members: Iterable[Member]) -> None:
        """Keep a link to each of these, and to nobody else."""
        wanted = {member.device: member for member in members}
        for device in self._peers.keys() - wanted.keys():
            self._drop(self._peers.pop(device))
            self._book.close(device)
        for device, member in wanted.items():
            if device not in self._peers:
                self._book.open(device)
                peer = self._peers[device] = _Peer(member=member)
                if device in self._strangers:
                    self.sighted(self._strangers.pop(device))
                peer.task = asyncio.create_task(self._keep(peer), name=f"peer {short(device)}")
            self._peers[device].wake.set()

    async def close(self) -> None:
        tasks = [peer.task for peer in self._peers.values() if peer.task]
        for peer in self._peers.values():
            self._drop(peer)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._context.destroy(linger=200)

    async def say_goodbye(self, why: Literal["stopping", "sleeping"]) -> None:
        links = [peer.link for peer in self._peers.values() if peer.link]
        calls = [link.request(m.Goodbye(why=why), m.Done, seconds=1.0) for link in links]
        await asyncio.gather(*calls, return_exceptions=True)

    def sighted(self, sighting: Sighting) -> None:
        """mDNS heard somebody."""
        device = sighting.announcement.device
        peer = self._peers.get(device)
        if peer is None:
            if device in self._strangers or len(self._strangers) < _MAX_STRANGERS:
                self._strangers[device] = sighting
            return
        self._learn(peer, sighting.addresses, sighting.how)

    def unsighted(self, beginning: str) -> None:
        """mDNS says that the device whose id begins so is gone. For members only silence counts, so strangers go."""
        for device in [device for device in self._strangers if device.startswith(beginning)]:
            del self._strangers[device]

    def called(self, device: DeviceId, channel: Channel, address: Address | None) -> None:
        """A member said Hello to us on `channel`, and says that it listens on `address`."""
        peer = self._peers.get(device)
        if peer is None:
            return
        peer.goodbye = None
        if address:
            self._learn(peer, [address], "inbound")
        if channel.answers is None:  # else it is the one that we dialled
            link = peer.called = Link(channel)
            link.when_lost(lambda: self._uncalled(peer, link))
            peer.has_called.set()
            peer.wake.set()

    def woke(self, seconds: float) -> None:
        """This machine slept: whatever stood before may be dead without knowing it. The others are told."""
        for peer in self._peers.values():
            peer.slept = seconds
            self._cut(peer)
            peer.wake.set()

    def said_goodbye(self, device: DeviceId, why: Literal["stopping", "sleeping"]) -> None:
        if device in self._peers:
            self._peers[device].goodbye = why

    def said_woken(self, device: DeviceId, seconds: float) -> None:
        if device in self._peers:
            _log.info("%s was asleep for %.0f s", self._peers[device].member.name, seconds)
            self._peers[device].goodbye = None
            self._peers[device].wake.set()

    def told(self, addresses: Mapping[DeviceId, str]) -> None:
        """A member says where others were."""
        for device, text in addresses.items():
            with contextlib.suppress(UsageError):
                if device in self._peers:
                    self._learn(self._peers[device], [parse_address(text)], "told")

    def try_everywhere(self, address: Address) -> None:
        """`--peer`: whoever of the cell listens there."""
        self._asked.append(address)
        for peer in self._peers.values():
            self._learn(peer, [address], "asked")

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
        return [device for device, peer in self._peers.items() if peer.link and self._state(peer) == "online"]

    def state(self, device: DeviceId) -> m.State:
        peer = self._peers.get(device)
        return self._state(peer) if peer else "gone"

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
        now = asyncio.get_running_loop().time()
        members = [
            m.PeerView(
                id=device,
                name=peer.vitals.name if peer.vitals else peer.member.name,
                role=peer.member.role,
                paired=True,
                state=self._state(peer),
                is_self=False,
                addresses=tuple(str(address) for address in self._book.of(device)),
                seen_seconds=None if (heard_at := self._heard_at(peer)) is None else now - heard_at,
                how=peer.how,
                rungs=tuple(dict.fromkeys(self._book.of(device).values())),
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
                how="mdns",
            )
            for device, seen in self._strangers.items()
        ]
        return members + strangers

    async def dial(self, address: Address, server_key: bytes, seconds: float = DIAL_SECONDS) -> Link:
        """A link to the agent with this key at this address. Raises UnreachableError."""
        connection = Connection(self._context, self._keys, address, server_key, self._reception.hear)
        try:
            await connection.open(seconds)
        except BaseException:
            connection.cut()
            raise
        return Link(connection)

    async def dial_again(self, device: DeviceId) -> Link | None:
        """One more connection to a linked member, for what must not mix with messages; None when only it can dial."""
        channel = self.link(device).channel
        if isinstance(channel, Connection):
            return await self.dial(channel.address, channel.curve_key)
        return None

    async def try_dial(self, device: DeviceId, address: Address) -> m.Outcome:
        """How dialling this member there ends, on a connection of its own."""
        server_key = self._peers[device].member.curve_key
        connection = Connection(self._context, self._keys, address, server_key, self._reception.hear)
        with contextlib.suppress(CellmindError):
            await connection.open(DIAL_SECONDS)
        connection.cut()
        return connection.outcome

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
                self._learn(self._peers[device], [address], "asked")
                self._book.save()
                return device, self._peers[device].member.name
        raise UnreachableError(f"no device of this cell answers at {address} ({errors[0]})", "cellmindctl peers --wide")

    # -- one peer's life ---------------------------------------------------------------------------------------------

    async def _keep(self, peer: _Peer) -> None:
        self._book.learn(peer.member.device, self._asked, "asked")
        pause, failures = REDIAL_FIRST_SECONDS, 0
        while True:
            peer.wake.clear()
            try:
                link = await self._first_link(peer)
                pause, failures = REDIAL_FIRST_SECONDS, 0
                await self._live(peer, link)
            except CellmindError as error:
                _log.debug("%s: %s", peer.member.name, error)
            finally:
                peer.link = None
            failures += 1
            if failures > _EAGER_DIALS:  # whoever wakes us, and however often
                await asyncio.sleep(REDIAL_FIRST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await peer.wake.wait()
                    pause = REDIAL_FIRST_SECONDS
            pause = min(pause * 2, REDIAL_LAST_SECONDS)

    async def _first_link(self, peer: _Peer) -> Link:
        """One that we dial, or else one that it dialled. Raises UnreachableError."""
        dialling = asyncio.create_task(self._dial_any(peer))
        calling = asyncio.create_task(peer.has_called.wait())
        try:
            await asyncio.wait({dialling, calling}, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                await asyncio.wait({dialling}, timeout=_CALLED_SECONDS)
            if (not dialling.done() or dialling.exception()) and peer.called is not None:
                return peer.called
            return await dialling
        finally:
            calling.cancel()
            if not dialling.done():
                dialling.cancel()
                await asyncio.wait({dialling})

    async def _dial_any(self, peer: _Peer) -> Link:
        """The first address that answers with the member's key, all tried at once. Raises UnreachableError."""
        addresses = list(self._book.of(peer.member.device))[:_MAX_DIALS]
        waiting = {asyncio.create_task(self.dial(address, peer.member.curve_key)) for address in addresses}
        won: Link | None = None
        try:
            while waiting and won is None:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.exception() is not None:
                        continue
                    if won is None:
                        won = task.result()
                    else:
                        task.result().channel.close()
        except asyncio.CancelledError:
            if won:
                won.channel.close()
            raise
        finally:
            for task in waiting:
                task.cancel()
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(result, Link):
                    result.channel.close()
        if won is None:
            raise UnreachableError(f"{peer.member.name} answers at none of {len(addresses)} addresses")
        return won

    async def _live(self, peer: _Peer, link: Link) -> None:
        """From the first word to the loss of the link."""
        device, channel = peer.member.device, link.channel
        try:
            asked_at = _now()
            welcome = await link.request(self._greeting.hello(), m.Welcome)
            if welcome.device != device:
                raise UnreachableError(f"{channel.name} is another device")
            peer.round_trips.append(_now() - asked_at)
            peer.link, peer.goodbye = link, None
            if isinstance(channel, Connection):
                peer.how = self._book.of(device).get(channel.address)
                self._book.prefer(device, channel.address)
            else:
                peer.how = "called"
            _log.info("linked with %s at %s", peer.member.name, channel.name)
            self._greeting.welcomed(device, link, welcome)
            if peer.slept is not None:
                await link.request(m.Woke(seconds=peer.slept), m.Done)
                peer.slept = None
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(peer, link))
                group.create_task(self._watch(peer, link))
        except* CellmindError as errors:
            _log.info("lost %s: %s", peer.member.name, errors.exceptions[0])
        finally:
            if isinstance(channel, Connection):
                channel.close()

    async def _beat(self, peer: _Peer, link: Link) -> None:
        """Ask again and again. Raises UnreachableError when it falls silent."""
        while True:
            await asyncio.sleep(RUN_HEARTBEAT_SECONDS if self._greeting.is_in_run() else HEARTBEAT_SECONDS)
            asked_at = _now()
            ping = asyncio.create_task(link.request(m.Ping(), m.Done, seconds=10 * REQUEST_SECONDS))
            try:
                await self._wait_patiently(peer, ping)
                await ping
            finally:
                ping.cancel()
            peer.round_trips.append(_now() - asked_at)

    async def _wait_patiently(self, peer: _Peer, ping: asyncio.Task[m.Done]) -> None:
        """Whatever comes from it counts as a sign of life, and our own standing still is not its silence."""
        limit, silent_since = patience(peer.round_trips), _now()
        while True:
            glanced_at = _now()
            await asyncio.wait({ping}, timeout=_GLANCE_SECONDS)
            if ping.done():
                return
            if _now() - glanced_at > 2 * _GLANCE_SECONDS:
                silent_since = _now()
            silent_since = max(silent_since, self._heard_at(peer) or 0.0)
            if _now() - silent_since > limit:
                self._cut(peer)
                raise UnreachableError(f"silent for {limit:.1f} s")

    async def _watch(self, peer: _Peer, link: Link) -> None:
        async for event in link.stream(m.WatchVitals()):
            if isinstance(event, m.VitalsChanged):
                peer.vitals = event.vitals
        raise UnreachableError(f"{peer.member.name} stopped reporting")

    def _cut(self, peer: _Peer) -> None:
        """Nothing of it is to be waited for any longer: gloo must fail now, not in half an hour."""
        for link in (peer.link, peer.called):
            if link:
                link.channel.cut()
        self._greeting.fell_silent(peer.member.device)

    def _uncalled(self, peer: _Peer, link: Link) -> None:
        if peer.called is link:
            peer.called = None
            peer.has_called.clear()

    def _heard_at(self, peer: _Peer) -> float | None:
        return self._reception.heard_at.get(peer.member.curve_key)

    def _state(self, peer: _Peer) -> m.State:
        heard_at = self._heard_at(peer)
        return liveness(
            peer.link is not None and not peer.link.is_lost,
            None if heard_at is None else _now() - heard_at,
            peer.goodbye is not None,
            peer.goodbye == "sleeping",
        )

    def _drop(self, peer: _Peer) -> None:
        if peer.task:
            peer.task.cancel()
        self._cut(peer)

    def _learn(self, peer: _Peer, addresses: Iterable[Address], rung: Rung) -> None:
        if self._book.learn(peer.member.device, addresses, rung) or peer.link is None:
            peer.wake.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
