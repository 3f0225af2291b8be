"""Keeps the keyrings of all members the same: compares them on each new link, and offers changes to everybody."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.keyring_keeper import KeyringKeeper
from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import KEYRING_OFFER_SECONDS
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.keyring import merge
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)


class KeyringSync:
    """This device's side of every comparison and offer."""

    def __init__(self, identity: Identity, admission: Admission, keeper: KeyringKeeper, peers: Peers) -> None:
        self._identity, self._admission, self._keeper, self._peers = identity, admission, keeper, peers
        self._offers: set[asyncio.Task[tuple[str, ...]]] = set()

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.GetKeyring: self._get, m.OfferKeyring: self._take_offer}

    async def compare(self, link: Link, welcome: m.Welcome) -> None:
        """Take what is newer in the other member's keyring, and offer ours if it still differs."""
        if welcome.keyring_head == self._admission.keyring.head:
            return
        try:
            received = await link.request(m.GetKeyring())
            await self._adopt(received.entries)
            own_entries = self._admission.keyring.entries
            if own_entries != received.entries:
                await link.request(m.OfferKeyring(entries=own_entries))
        except CellmindError as error:
            _log.warning("cannot compare keyrings: %s", error)

    def offer_soon(self) -> None:
        """Offer the keyring to everybody, in a task.

        A caller that holds the keeper's lock must not wait for it: two devices that offer to each other at once would
        wait for each other.
        """
        task = asyncio.create_task(self.offer_to_all(), name="offer keyring")
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)

    async def offer_to_all(self, but: DeviceId | None = None) -> tuple[str, ...]:
        """Offer the keyring to every online member; the names of those that have taken it."""
        devices = [device for device in self._peers.online() if device != but]
        offer = m.OfferKeyring(entries=self._admission.keyring.entries)
        calls = [self._peers.link(device).request(offer, seconds=KEYRING_OFFER_SECONDS) for device in devices]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return tuple(
            self._peers.name(device)
            for device, result in zip(devices, results, strict=True)
            if not isinstance(result, BaseException)
        )

    def close(self) -> None:
        """End the offers that are under way."""
        for task in self._offers:
            task.cancel()

    async def _get(self, request: m.GetKeyring, caller: Caller) -> m.Keyring:
        left = self._admission.left
        keyring = left.keyring if left and caller.kind == "former" else self._admission.keyring
        return m.Keyring(entries=keyring.entries)

    async def _take_offer(self, request: m.OfferKeyring, caller: Caller) -> m.Done:
        if caller.kind == "former":
            await self._look_again(request.entries)
        else:
            await self._adopt(request.entries)
        return m.Done()

    async def _look_again(self, entries: tuple[bytes, ...]) -> None:
        """A member of the cell that has removed this device has newer entries: perhaps the removal does not count."""
        async with self._keeper.lock:
            before = self._admission.left
            if before is None:
                return
            left = replace(before, keyring=await asyncio.to_thread(merge, before.keyring, entries))
            if left.has_ended(self._identity.device):
                _log.warning("the removal of this device does not count: it is in its cell again")
                await self._keeper.install(left.keyring)
            elif left != before:
                self._keeper.leave(left)

    async def _adopt(self, entries: tuple[bytes, ...]) -> None:
        async with self._keeper.lock:
            before = self._admission.keyring
            merged = await asyncio.to_thread(merge, before, entries)  # up to a thousand signatures
            if merged == before:
                return
            await self._keeper.install(merged)
        # The offering member lacks what the merge has added.
        if merged.entries != entries:
            self.offer_soon()
