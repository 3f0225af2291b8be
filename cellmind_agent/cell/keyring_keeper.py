"""Makes a keyring the present one: on disk, for every later message, and for the connections that are open now."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.alarms import alarm_sentence
from cellmind_agent.cell.introduction import Introduction
from cellmind_agent.network.discovery import Discovery
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Reception
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.keyring import Keyring, counting_additions
from cellmind_agent.trust.ringfile import Left, new_cell, save_keyring, save_left

_log = logging.getLogger(__name__)


class KeyringKeeper:
    """The only part that replaces the keyring."""

    def __init__(
        self,
        home: Path,
        identity: Identity,
        name: str,
        admission: Admission,
        introduction: Introduction,
        peers: Peers,
        reception: Reception,
        listener: Listener,
        discovery: Discovery,
    ) -> None:
        self._home, self._identity, self._name = home, identity, name
        self._admission, self._introduction = admission, introduction
        self._peers, self._reception, self._listener, self._discovery = peers, reception, listener, discovery
        self.lock = asyncio.Lock()  # held from reading the keyring to installing its successor

    async def install(self, keyring: Keyring, *, cuts: bool = True) -> None:
        """Replace the keyring; the caller holds `lock`. A device that is no longer in it founds a cell of one.

        Without `cuts`, connections of a removed device stay open until the caller calls `enforce`; it can ask for
        nothing by them.
        """
        before = self._admission.keyring
        if self._identity.device not in keyring.members:
            _log.warning("this device was removed from its cell, and is a cell of one now")
            self.leave(Left(keyring=keyring, additions=counting_additions(before, self._identity.device)))
            keyring = new_cell(self._home, self._identity, self._name, time.time())
        else:
            save_keyring(self._home, keyring)  # first: a removal must survive a crash (I5)
            if len(keyring.members) > 1:
                self.leave(None)
        self._admission.keyring = keyring
        for alarm in keyring.alarms:
            if alarm not in before.alarms:
                _log.warning("%s", alarm_sentence(alarm))
        has_removed = bool(frozenset(before.members) - frozenset(keyring.members))
        if cuts:
            await self.enforce(has_removed)
        else:
            await self._reception.drop(self._is_unwanted)

    def leave(self, left: Left | None) -> None:
        """Remember a cell that has removed this device, or no such cell.

        The removal may be of no account: an owner that had been removed itself can say what it likes to a device that
        has not heard of that. Members of that cell may go on comparing keyrings.
        """
        save_left(self._home, left)
        self._admission.left = left

    async def enforce(self, has_removed: bool = False) -> None:
        """Apply the keyring and the invitation as they are now (I5): keep sessions with the members alone, end the
        requests and connections of everybody else, and announce this device again."""
        self._peers.set_members(self._admission.others())
        # While an invitation is open every key is admitted, so only a removed one is unwanted.
        if has_removed or not self._admission.admits_strangers():
            self._listener.cut(self._is_unwanted)  # first: a cancellation may come while we wait
            await self._reception.drop(self._is_unwanted)
        self._discovery.announce(self._introduction.announcement())

    def _is_unwanted(self, key: bytes) -> bool:
        return not self._admission.admits(key)
