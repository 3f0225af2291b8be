"""Who is there: one patient dialler per member of the cell, one link each, heartbeats that prove it.

A device is known by its keys alone. An address is only a hint, whoever gave it: the link stands when CURVE has proved
that the member's key answers there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cellmind_agent.network.discovery import Sighting
from cellmind_agent.network.link import Link
from cellmind_agent.network.wire import Connection, new_context
from cellmind_agent.planning.liveness import liveness
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import CellmindError, UnreachableError, UsageError
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import (
    DIAL_SECONDS,
    HEARTBEAT_SECONDS,
    REDIAL_FIRST_SECONDS,
    REDIAL_LAST_SECONDS,
    SILENCE_SECONDS,
)
from cellmind_agent.storage.files import read_json, write_json
from cellmind_agent.trust.identity import CurveKeys
from cellmind_agent.trust.keyring import Member

Rung = Literal["cached", "mdns", "told", "inbound", "asked"]
_log = logging.getLogger(__name__)
_MAX_ADDRESSES = 8
_MAX_STRANGERS = 64
_EAGER_DIALS = 5  # then no waking makes us dial more often than every REDIAL_FIRST_SECONDS
_TRUST: tuple[Rung, ...] = ("mdns", "told", "inbound", "cached", "asked")  # a guest's lies are forgotten first


@dataclass(slots=True, kw_only=True)
class _Peer:
    """What is known of one member. `addresses` maps to the rung that last named each, best first."""

    member: Member
    addresses: dict[Address, Rung] = field(default_factory=dict)
    link: Link | None = None
    how: Rung | None = None
    vitals: m.Vitals | None = None
    heard_at: float | None = None
    goodbye: Literal["stopping", "sleeping"] | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the agent says of itself when a link stands, and whom it tells about it."""

    hello: Callable[[], m.Hello]
    welcomed: Callable[[DeviceId, Link, m.Welcome], None]


class Peers:
    """The other members of the cell, as seen from here."""

    def __init__(self, home: Path, keys: CurveKeys, greeting: Greeting) -> None:
        self._keys, self._greeting = keys, greeting
        self._path = home / "addresses.json"
        self._context = new_context()
        self._peers: dict[DeviceId, _Peer] = {}
        self._strangers: dict[DeviceId, Sighting] = {}
        self._cached = self._load_addresses()
        self._asked: list[Address] = []

    # -- the agent's side ------------------------------------------------------------------------------------------

    def set_members(self, members: Iterable[Member]) -> None:
        """Keep a link to each of these, and to nobody else."""
        wanted = {member.device: member for member in members}
        for device in self._peers.keys() - wanted.keys():
            self._drop(self._peers.pop(device))
        for device, member in wanted.items():
            if device not in self._peers:
                peer = _Peer(member=member)
                for address in self._cached.get(device, ()):
                    peer.addresses[address] = "cached"
                self._peers[device] = peer
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
        self._learn(peer, sighting.addresses, "mdns")

    def unsighted(self, beginning: str) -> None:
        """mDNS says that the device whose id begins so is gone. For members only silence counts, so strangers go."""
        for device in [device for device in self._strangers if device.startswith(beginning)]:
            del self._strangers[device]

    def heard_from(self, device: DeviceId, address: Address | None) -> None:
        """A member asked us something: it is alive, and probably listens on `address`."""
        peer = self._peers.get(device)
        if peer is None:
            return
        peer.heard_at = asyncio.get_running_loop().time()
        peer.goodbye = None
        if address:
            self._learn(peer, [address], "inbound")

    def said_goodbye(self, device: DeviceId, why: Literal["stopping", "sleeping"]) -> None:
        if device in self._peers:
            self._peers[device].goodbye = why

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
        return {device: str(peer.link.address) for device, peer in self._peers.items() if peer.link}

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
                addresses=tuple(str(address) for address in peer.addresses),
                seen_seconds=None if peer.heard_at is None else now - peer.heard_at,
                how=peer.how,
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
        connection = Connection(self._context, self._keys, address, server_key)
        try:
            await connection.open(seconds)
        except BaseException:
            connection.close()
            raise
        return Link(connection)

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
                await task.result().close()
                self._learn(self._peers[device], [address], "asked")
                self._save_addresses()
                return device, self._peers[device].member.name
        raise UnreachableError(f"no device of this cell answers at {address} ({errors[0]})", "cellmindctl peers --wide")

    # -- one peer's life ---------------------------------------------------------------------------------------------

    async def _keep(self, peer: _Peer) -> None:
        for address in self._asked:
            peer.addresses.setdefault(address, "asked")
        pause, failures = REDIAL_FIRST_SECONDS, 0
        while True:
            peer.wake.clear()
            try:
                link, address = await self._dial_any(peer)
                pause, failures = REDIAL_FIRST_SECONDS, 0
                await self._live(peer, link, address)
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

    async def _dial_any(self, peer: _Peer) -> tuple[Link, Address]:
        """The first address that answers with the member's key, all tried at once. Raises UnreachableError."""
        tries = {
            asyncio.create_task(self.dial(a, peer.member.curve_key)): a for a in list(peer.addresses)[:_MAX_ADDRESSES]
        }
        won: tuple[Link, Address] | None = None
        waiting = set(tries)
        try:
            while waiting and won is None:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.exception() is not None:
                        continue
                    if won is None:
                        won = (task.result(), tries[task])
                    else:
                        await task.result().close()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        if won is None:
            raise UnreachableError(f"{peer.member.name} answers at none of {len(tries)} addresses")
        return won

    async def _live(self, peer: _Peer, link: Link, address: Address) -> None:
        """From the first word to the loss of the link."""
        try:
            welcome = await link.request(self._greeting.hello(), m.Welcome)
            if welcome.device != peer.member.device:
                raise UnreachableError(f"{address} is another device")
            peer.link, peer.how, peer.goodbye = link, peer.addresses.get(address), None
            self._alive(peer)
            self._prefer(peer, address)
            _log.info("linked with %s at %s", peer.member.name, address)
            self._greeting.welcomed(peer.member.device, link, welcome)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(peer, link))
                group.create_task(self._watch(peer, link))
        except* CellmindError as errors:
            _log.info("lost %s: %s", peer.member.name, errors.exceptions[0])
        finally:
            await link.close()

    async def _beat(self, peer: _Peer, link: Link) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            await link.request(m.Ping(), m.Done, seconds=SILENCE_SECONDS - HEARTBEAT_SECONDS)
            self._alive(peer)

    async def _watch(self, peer: _Peer, link: Link) -> None:
        async for event in link.stream(m.WatchVitals()):
            if isinstance(event, m.VitalsChanged):
                peer.vitals = event.vitals
                self._alive(peer)
        raise UnreachableError(f"{peer.member.name} stopped reporting")

    def _alive(self, peer: _Peer) -> None:
        peer.heard_at = asyncio.get_running_loop().time()

    def _state(self, peer: _Peer) -> m.State:
        since = None if peer.heard_at is None else asyncio.get_running_loop().time() - peer.heard_at
        return liveness(since, peer.goodbye is not None, peer.goodbye == "sleeping")

    def _drop(self, peer: _Peer) -> None:
        if peer.task:
            peer.task.cancel()

    # -- addresses -----------------------------------------------------------------------------------------------------

    def _learn(self, peer: _Peer, addresses: Iterable[Address], rung: Rung) -> None:
        fresh = [address for address in addresses if peer.addresses.get(address) != rung]
        for address in fresh:
            peer.addresses[address] = rung
        while len(peer.addresses) > _MAX_ADDRESSES:
            del peer.addresses[min(peer.addresses, key=lambda address: _TRUST.index(peer.addresses[address]))]
        if fresh or peer.link is None:
            peer.wake.set()

    def _prefer(self, peer: _Peer, address: Address) -> None:
        peer.addresses = {address: peer.addresses[address], **peer.addresses}
        self._save_addresses()

    def _load_addresses(self) -> dict[DeviceId, list[Address]]:
        plain = read_json(self._path)
        found: dict[DeviceId, list[Address]] = {}
        if isinstance(plain, dict):
            for device, texts in plain.items():
                with contextlib.suppress(UsageError, TypeError, AttributeError):
                    found[DeviceId(device)] = [parse_address(text) for text in texts][:_MAX_ADDRESSES]
        return found

    def _save_addresses(self) -> None:
        plain = {device: [str(address) for address in peer.addresses] for device, peer in self._peers.items()}
        with contextlib.suppress(CellmindError, OSError):  # a hint lost to a full disk is found again
            write_json(self._path, plain)
