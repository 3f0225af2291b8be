"""Joining, inviting, forgetting, and keeping every device's keyring in step.

The one owner of the keyring's present value: whoever needs it asks here, and whatever changes it happens here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from cellmind_agent.network.discovery import Sighting
from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.wire import key_from_text
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    JoinRefusedError,
    NotAllowedError,
    NotPairedError,
    ProtocolError,
    UnknownNameError,
    UnreachableError,
)
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import INVITATION_SECONDS
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.invitation import Invitation, Joiner, clean_code, nameplate, new_code
from cellmind_agent.trust.keyring import (
    Keyring,
    Member,
    add_member,
    found_cell,
    lost_entries,
    merge,
    remove_member,
    verify,
)
from cellmind_agent.trust.permissions import Caller
from cellmind_agent.trust.ringfile import save_keyring

_log = logging.getLogger(__name__)
_SEARCH_SECONDS = 6.0


class Membership:
    """`changed` is awaited after every change of the keyring, with the devices that are out now."""

    def __init__(self, home: Path, identity: Identity, name: str, keyring: Keyring, peers: Peers) -> None:
        self._home, self._identity, self._name, self._peers = home, identity, name, peers
        self.keyring = keyring
        self.invitation: Invitation | None = None
        self.listening_on: Callable[[], tuple[Address, ...]] = lambda: ()
        self.look_at: Callable[[str], Awaitable[None]] | None = None
        self.changed: Callable[[frozenset[DeviceId]], Awaitable[None]] | None = None
        self._joined: asyncio.Queue[m.DeviceJoined] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._offering: set[asyncio.Task[tuple[str, ...]]] = set()

    def handlers(self) -> dict[type, Handler]:
        return {
            m.BeginJoin: self._begin_join,
            m.ProveJoin: self._prove_join,
            m.OpenInvitation: self._invite,
            m.JoinCell: self._join,
            m.ForgetDevice: self._forget,
            m.GetKeyring: self._get_keyring,
            m.OfferKeyring: self._take_offer,
        }

    @property
    def me(self) -> Member:
        return self.keyring.members[self._identity.device]

    def others(self) -> list[Member]:
        return [member for device, member in self.keyring.members.items() if device != self._identity.device]

    def admits_strangers(self) -> bool:
        """Only while an invitation is open may an unknown key reach the port at all, and then only to join."""
        return self.invitation is not None and self.invitation.is_open(time.monotonic())

    def open_nameplate(self) -> str | None:
        return nameplate(self.invitation.code) if self.invitation and self.admits_strangers() else None

    async def compare(self, link: Link, welcome: m.Welcome) -> None:
        """A link stands: if the other's keyring differs, take what is newer there, and offer ours."""
        if welcome.keyring_head == self.keyring.head:
            return
        try:
            offered = await link.request(m.GetKeyring())
            await self._adopt(offered.entries)
            if self.keyring.entries != offered.entries:
                await link.request(m.OfferKeyring(entries=self.keyring.entries))
        except CellmindError as error:
            _log.warning("comparing keyrings: %s", error)

    # -- the inviter ---------------------------------------------------------------------------------------------------

    async def _invite(
        self, request: m.OpenInvitation, caller: Caller
    ) -> AsyncIterator[m.InvitationOpened | m.DeviceJoined]:
        if self.me.role != "owner":
            raise NotAllowedError(
                "only an owner of the cell may invite", "cellmindctl peers --wide shows who is an owner"
            )
        if self.admits_strangers():
            raise BusyError("an invitation is open already", "end it with Ctrl-C where it was opened")
        seconds = min(max(request.seconds, 1.0), INVITATION_SECONDS)
        invitation = Invitation(self._identity, request.role, new_code(), time.monotonic() + seconds)
        self.invitation = invitation
        self._joined = asyncio.Queue()
        await self._announce_change()
        try:
            yield m.InvitationOpened(
                code=invitation.code,
                seconds=seconds,
                addresses=tuple(address.with_key() for address in self.listening_on()),
            )
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        async with asyncio.timeout(0.5):
                            yield await self._joined.get()
                            return
                    except TimeoutError:
                        if not invitation.is_open(time.monotonic()) and not invitation.is_used:
                            raise JoinRefusedError("the code was guessed wrongly three times and is void") from None
        except TimeoutError:
            raise JoinRefusedError("nobody joined in time; the code is void") from None
        finally:
            if self.invitation is invitation:
                self.invitation = None
            await self._announce_change()

    async def _begin_join(self, request: m.BeginJoin, caller: Caller) -> m.JoinBegun:
        return self._open_invitation().begin(request, caller.curve_key, time.monotonic())

    async def _prove_join(self, request: m.ProveJoin, caller: Caller) -> m.JoinAccepted:
        invitation = self._open_invitation()
        member, accept = invitation.prove(request, caller.curve_key, time.monotonic())
        async with self._turn:
            old = self.keyring.members.get(member.device)
            keyring = self.keyring
            if old is not None:
                keyring = remove_member(keyring, self._identity, member.device, time.time())
            await self._install(add_member(keyring, self._identity, member, time.time()))
        self._offer_soon()
        _log.info("%s joined as %s", member.name, member.role)
        self._joined.put_nowait(m.DeviceJoined(device=member.device, name=member.name, role=member.role))
        return accept({"inviter": self.me.name, "entries": [entry.decode() for entry in self.keyring.entries]})

    def _open_invitation(self) -> Invitation:
        if self.invitation is None:
            raise JoinRefusedError("nobody is being invited here now")
        return self.invitation

    # -- the joiner ----------------------------------------------------------------------------------------------------

    async def _join(self, request: m.JoinCell, caller: Caller) -> m.CellJoined:
        code = clean_code(request.code)
        if self.others():
            raise NotAllowedError(
                f"this device is already in a cell with {len(self.others())} others",
                "leave it first: an owner there runs cellmindctl forget DEVICE",
            )
        targets = await self._targets(code, request.at)
        problem: CellmindError | None = None
        for address, key in targets:
            try:
                return await self._join_at(code, address, key)
            except CellmindError as error:
                problem = error
        raise problem or UnreachableError(
            "nobody nearby has an open invitation with that code",
            "is the code still open? where mDNS does not reach: cellmindctl join --at, as `invite` prints it",
        )

    async def _targets(self, code: str, at: str | None) -> list[tuple[Address, bytes]]:
        address = parse_address(at) if at else None
        if address and address.key:
            return [(address, address.key)]
        deadline = time.monotonic() + _SEARCH_SECONDS
        while True:
            if address and self.look_at:  # its announcement, asked of that host alone, has the key. Asked until it says
                await self.look_at(address.host)  # that an invitation is open: news may take it a second or two
            sightings = self._peers.inviters(nameplate(code))
            found = [(where, key) for seen in sightings for where, key in _reachable(seen)]
            if address:
                found = [(a, key) for a, key in found if (a.host, a.port) == (address.host, address.port)]
            if found or time.monotonic() > deadline:
                return found[:3]
            await asyncio.sleep(0.2)

    async def _join_at(self, code: str, address: Address, key: bytes) -> m.CellJoined:
        try:
            link = await self._peers.dial(address, key)
        except NotPairedError as error:
            raise JoinRefusedError(
                f"the device at {address} invites nobody now: the code is used or out of date"
            ) from error
        try:
            joiner = Joiner(self._identity, self._name, code, key)
            begun = await link.request(joiner.begin())
            accepted = await link.request(joiner.prove(begun))
            answer = joiner.finish(accepted)
        finally:
            link.channel.close()
        keyring = verify(tuple(entry.encode() for entry in answer["entries"]))
        if self._identity.device not in keyring.members:
            raise ProtocolError("the inviter's keyring does not name this device")
        async with self._turn:
            await self._install(keyring)
        inviter = next(member for member in keyring.members.values() if member.curve_key == key)
        self._peers.told({inviter.device: str(address)})
        _log.info("joined the cell of %s", inviter.name)
        return m.CellJoined(inviter=inviter.name, members=tuple(member.name for member in self.others()))

    # -- forgetting ----------------------------------------------------------------------------------------------------

    async def _forget(self, request: m.ForgetDevice, caller: Caller) -> m.DeviceForgotten:
        member = self.keyring.members.get(request.device)
        if member is None:
            raise UnknownNameError("that device is not in the keyring", "cellmindctl peers")
        if member.device == self._identity.device:
            raise NotAllowedError("a device cannot forget itself", "run forget on another owner's device")
        farewell = self._peers.link(member.device) if member.device in self._peers.online() else None
        async with self._turn:
            keyring = remove_member(self.keyring, self._identity, member.device, time.time())
            if farewell:  # so that it knows; whether it listens or not, it is out
                await asyncio.gather(
                    farewell.request(m.OfferKeyring(entries=keyring.entries), seconds=1.0),
                    return_exceptions=True,
                )
            await self._install(keyring)
        told = await self._offer_to_all()
        _log.info("forgot %s", member.name)
        return m.DeviceForgotten(device=member.device, name=member.name, told=told)

    # -- staying in step -----------------------------------------------------------------------------------------------

    async def _get_keyring(self, request: m.GetKeyring, caller: Caller) -> m.Keyring:
        return m.Keyring(entries=self.keyring.entries)

    async def _take_offer(self, request: m.OfferKeyring, caller: Caller) -> m.Done:
        await self._adopt(request.entries)
        return m.Done()

    async def _adopt(self, entries: tuple[bytes, ...]) -> None:
        async with self._turn:
            before = self.keyring
            merged = merge(before, entries)
            if merged == before:
                return
            for action, member in lost_entries(before, merged, self._identity.device):
                try:
                    if action == "remove" and member.device in merged.members:
                        merged = remove_member(merged, self._identity, member.device, time.time())
                    elif action == "add" and member.device not in merged.members:
                        merged = add_member(merged, self._identity, member, time.time())
                except NotAllowedError as error:
                    _log.warning("an entry of ours is lost: %s", error)
            await self._install(merged)
        if merged.entries != entries:
            self._offer_soon()

    async def _install(self, keyring: Keyring) -> None:
        """Make it the present one. A device that finds itself removed begins again as a cell of one."""
        if self._identity.device not in keyring.members:
            _log.warning("this device was removed from its cell, and is a cell of one now")
            keyring = found_cell(self._identity, self._name, time.time())
        out = frozenset(self.keyring.members) - frozenset(keyring.members)
        save_keyring(self._home, keyring)
        self.keyring = keyring
        if self.changed:
            await self.changed(out)

    def _offer_soon(self) -> None:
        """Not while holding the turn: two devices that offer to each other at once would wait for each other."""
        task = asyncio.create_task(self._offer_to_all())
        self._offering.add(task)
        task.add_done_callback(self._offering.discard)

    async def _offer_to_all(self) -> tuple[str, ...]:
        devices = self._peers.online()
        offer = m.OfferKeyring(entries=self.keyring.entries)
        calls = [self._peers.link(device).request(offer, seconds=3.0) for device in devices]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return tuple(
            self._peers.name(device)
            for device, result in zip(devices, results, strict=True)
            if not isinstance(result, BaseException)
        )

    async def _announce_change(self) -> None:
        if self.changed:
            await self.changed(frozenset())


def _reachable(seen: Sighting) -> list[tuple[Address, bytes]]:
    try:
        key = key_from_text(seen.announcement.curve_key)
    except ValueError:
        return []
    return [(address, key) for address in seen.addresses]
