"""The inviter's side of joining: one code, three tries, one new member. The proof itself is `trust/invitation`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.keyring_keeper import KeyringKeeper
from cellmind_agent.cell.keyring_sync import KeyringSync
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import BusyError, JoinRefusedError, NotAllowedError, TimedOutError
from cellmind_agent.protocol.limits import INVITATION_SECONDS, LINGER_SECONDS, MIN_INVITATION_SECONDS
from cellmind_agent.trust.entries import Member
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.invitation import Invitation, new_code
from cellmind_agent.trust.keyring import Keyring, add_member, remove_member
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)


class Inviting:
    """At most one invitation at a time."""

    def __init__(
        self,
        identity: Identity,
        admission: Admission,
        keeper: KeyringKeeper,
        sync: KeyringSync,
        own_addresses: Callable[[], tuple[Address, ...]],
    ) -> None:
        self._identity, self._admission, self._keeper, self._sync = identity, admission, keeper, sync
        self._own_addresses = own_addresses
        # Of the open invitation: who has joined, or None when too many tries have made the code void.
        self._outcome: asyncio.Future[m.DeviceJoined | None] | None = None

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.OpenInvitation: self._invite, m.BeginJoin: self._begin_join, m.ProveJoin: self._prove_join}

    async def _invite(
        self, request: m.OpenInvitation, caller: Caller
    ) -> AsyncIterator[m.InvitationOpened | m.DeviceJoined]:
        if self._admission.me.role != "owner":
            raise NotAllowedError(
                "only an owner of the cell may invite", "cellmindctl peers --wide shows who is an owner"
            )
        if self._admission.admits_strangers():
            raise BusyError("an invitation is open already", "end it with Ctrl-C where it was opened")
        seconds = min(max(request.seconds, MIN_INVITATION_SECONDS), INVITATION_SECONDS)
        invitation = Invitation(self._identity, request.role, new_code(), time.monotonic() + seconds)
        outcome = self._outcome = asyncio.get_running_loop().create_future()
        self._admission.invitation = invitation
        await self._keeper.enforce()
        try:
            addresses = tuple(address.with_key() for address in self._own_addresses())
            yield m.InvitationOpened(code=invitation.code, seconds=seconds, addresses=addresses)
            async with asyncio.timeout(seconds):
                joined = await outcome
            if joined is None:
                await asyncio.sleep(LINGER_SECONDS)  # the last refusal must leave before its connection is cut
                raise JoinRefusedError("the code was guessed wrongly three times and is void")
            yield joined
        except TimeoutError:
            sentence = "nobody joined in time; the code is void"
            raise TimedOutError(sentence, "invite again: cellmindctl invite") from None
        finally:
            if self._admission.invitation is invitation:
                self._admission.invitation = None
            await self._keeper.enforce()

    async def _begin_join(self, request: m.BeginJoin, caller: Caller) -> m.JoinBegun:
        invitation = self._open_invitation()
        try:
            return invitation.begin(request, caller.curve_key, time.monotonic())
        finally:
            self._note_void(invitation)

    async def _prove_join(self, request: m.ProveJoin, caller: Caller) -> m.JoinAccepted:
        invitation = self._open_invitation()
        try:
            member, accept = invitation.prove(request, caller.curve_key, time.monotonic())
        finally:
            self._note_void(invitation)
        async with self._keeper.lock:
            keyring = self._admission.keyring
            await self._keeper.install(self._with_joined(keyring, member))
        # The other members must know the newcomer before it dials them.
        self._sync.offer_soon()
        _log.info("%s joined as %s", member.name, member.role)
        if self._outcome and not self._outcome.done():
            self._outcome.set_result(m.DeviceJoined(device=member.device, name=member.name, role=member.role))
        entries = [entry.decode() for entry in self._admission.keyring.entries]
        return accept({"inviter": self._admission.me.name, "entries": entries})

    def _with_joined(self, keyring: Keyring, member: Member) -> Keyring:
        """A device that has lost its keyring joins again. One that is senior to this device stays what it is."""
        if member.device in keyring.members:
            try:
                keyring = remove_member(keyring, self._identity, member.device, time.time())
            except NotAllowedError:
                return keyring
        return add_member(keyring, self._identity, member, time.time())

    def _open_invitation(self) -> Invitation:
        if self._admission.invitation is None:
            raise JoinRefusedError("this device has no open invitation")
        return self._admission.invitation

    def _note_void(self, invitation: Invitation) -> None:
        """End the invitation at once when its last try has failed."""
        has_failed = invitation.tries_left <= 0 and not invitation.is_used
        is_void = has_failed and not invitation.is_open(time.monotonic())  # open: the last try may still succeed
        if is_void and self._outcome and not self._outcome.done():
            self._outcome.set_result(None)
