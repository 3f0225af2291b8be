"""Removes a device from the cell, at the request of this device's user."""

from __future__ import annotations

import asyncio
import logging
import time

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.keyring_keeper import KeyringKeeper
from cellmind_agent.cell.keyring_sync import KeyringSync
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import NotAllowedError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import GOODBYE_SECONDS
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.keyring import Keyring, make_owner, remove_member
from cellmind_agent.trust.permissions import Caller
from cellmind_agent.trust.recovery import read_code

_log = logging.getLogger(__name__)


class Forgetting:
    """A removal ends the connections of the removed device; the members that are online learn of it at once."""

    def __init__(
        self, identity: Identity, admission: Admission, keeper: KeyringKeeper, sync: KeyringSync, peers: Peers
    ) -> None:
        self._identity, self._admission, self._keeper = identity, admission, keeper
        self._sync, self._peers = sync, peers

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.ForgetDevice: self._forget}

    async def _forget(self, request: m.ForgetDevice, caller: Caller) -> m.DeviceForgotten:
        """1. The removal is in force here. 2. The others learn of it. 3. The removed device does, and is cut off."""
        if request.device == self._identity.device:
            raise NotAllowedError("a device cannot forget itself", "run forget on another owner's device")
        try:
            async with self._keeper.lock:
                keyring = self._admission.keyring
                member = keyring.members.get(request.device)
                if member is None:
                    raise UnknownNameError("that device is not in the keyring", "cellmindctl peers")
                link = self._peers.link(member.device) if member.device in self._peers.online() else None
                removed = self._removed(keyring, member.device, request.recovery)
                await self._keeper.install(removed, cuts=False)
            informing = asyncio.create_task(self._sync.offer_to_all(but=member.device))
            if link:  # it is removed whether it answers or not
                offer = m.OfferKeyring(entries=removed.entries)
                await asyncio.gather(link.request(offer, seconds=GOODBYE_SECONDS), return_exceptions=True)
        finally:  # also if the person presses Ctrl-C meanwhile
            await self._keeper.enforce(has_removed=True)
        informed = await informing
        _log.info("forgot %s", member.name)
        return m.DeviceForgotten(device=member.device, name=member.name, told=informed)

    def _removed(self, keyring: Keyring, device: DeviceId, recovery_code: str) -> Keyring:
        """The keyring without a device. With the recovery code this device becomes an owner, if it is none: somebody
        must invite from now on. Raises NotAllowedError, UsageError."""
        now = time.time()
        if not recovery_code:
            return remove_member(keyring, self._identity, device, now)
        recovery = read_code(recovery_code)
        if recovery.public != keyring.recovery_key:
            raise NotAllowedError("that is the recovery code of another cell")
        if self._admission.me.role != "owner":
            keyring = make_owner(keyring, recovery, self._identity.device, now)
        return remove_member(keyring, recovery, device, now)
