"""The joiner's side of joining: find the inviter, prove the code, become a member of its cell."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.keyring_keeper import KeyringKeeper
from cellmind_agent.network.curve import key_from_text
from cellmind_agent.network.discovery import Discovery, Sighting
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import (
    CellmindError,
    JoinRefusedError,
    NotAllowedError,
    NotPairedError,
    ProtocolError,
    UnreachableError,
)
from cellmind_agent.protocol.limits import INVITER_SEARCH_SECONDS, MAX_INVITERS_TRIED
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.invitation import Joiner, clean_code, nameplate
from cellmind_agent.trust.keyring import verify
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)


class Joining:
    """Only a device that is alone in its cell may join another."""

    def __init__(
        self,
        identity: Identity,
        name: str,
        admission: Admission,
        keeper: KeyringKeeper,
        peers: Peers,
        discovery: Discovery,
    ) -> None:
        self._identity, self._name, self._admission, self._keeper = identity, name, admission, keeper
        self._peers, self._discovery = peers, discovery

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.JoinCell: self._join}

    async def _join(self, request: m.JoinCell, caller: Caller) -> m.CellJoined:
        """1. Find devices that may be the inviter. 2. Try the code with each, until one accepts it."""
        code = clean_code(request.code)
        others = self._admission.others()
        if others:
            raise NotAllowedError(
                "this device is already in a cell with {num_others} others",
                "leave it first: an owner there runs cellmindctl forget DEVICE",
                num_others=len(others),
            )
        problem: CellmindError | None = None
        for address, key in await self._find_inviters(code, parse_address(request.at) if request.at else None):
            try:
                return await self._join_at(code, address, key)
            except CellmindError as error:
                problem = error
        raise problem or UnreachableError(
            "nobody nearby has an open invitation with that code",
            "is the code still open? where mDNS does not reach: cellmindctl join --at, as `invite` prints it",
        )

    async def _find_inviters(self, code: str, at: Address | None) -> list[tuple[Address, bytes]]:
        """Addresses and keys of agents that announce the code's nameplate, at `at` alone if it is given."""
        if at and at.key:
            return [(at, at.key)]
        querying = asyncio.create_task(self._keep_querying([at.host] if at else []))
        try:
            async with asyncio.timeout(INVITER_SEARCH_SECONDS):
                while not (found := self._announced_inviters(code, at)):
                    await self._peers.strangers.changed()
                return found[:MAX_INVITERS_TRIED]
        except TimeoutError:
            return []
        finally:
            querying.cancel()
            await asyncio.wait({querying})

    async def _keep_querying(self, hosts: Sequence[str]) -> None:
        """Query the network and these hosts for announcements, which have the keys. A phone hears no others; and a new
        invitation is announced late, so query again and again."""
        while True:
            await self._discovery.query(hosts)

    def _announced_inviters(self, code: str, at: Address | None) -> list[tuple[Address, bytes]]:
        sightings = self._peers.strangers.inviting(nameplate(code))
        found = [(address, key) for sighting in sightings for address, key in _addresses_with_key(sighting)]
        return [(a, key) for a, key in found if at is None or (a.host, a.port) == (at.host, at.port)]

    async def _join_at(self, code: str, address: Address, key: bytes) -> m.CellJoined:
        try:
            link = await self._peers.dial(address, key)
        except NotPairedError as error:
            raise JoinRefusedError(
                "the device at {address} has no open invitation: the code is used or out of date", address=address
            ) from error
        try:
            joiner = Joiner(self._identity, self._name, code, key)
            begun = await link.request(joiner.begin())
            accepted = await link.request(joiner.prove(begun))
            answer = joiner.finish(accepted)
        finally:
            link.channel.close()
        # Trust no keyring, not even the inviter's, before its signatures are verified.
        keyring = verify(tuple(entry.encode() for entry in answer["entries"]))
        inviter = keyring.by_curve_key(key)
        if inviter is None or self._identity.device not in keyring.members:
            raise ProtocolError("the inviter's keyring does not name this device and the inviter")
        async with self._keeper.lock:
            await self._keeper.install(keyring)
        self._peers.learn_addresses({inviter.device: str(address)})
        _log.info("joined the cell of %s", inviter.name)
        return m.CellJoined(inviter=inviter.name, members=tuple(member.name for member in self._admission.others()))


def _addresses_with_key(sighting: Sighting) -> list[tuple[Address, bytes]]:
    """The announced addresses with the announced key; none if the key is malformed."""
    try:
        key = key_from_text(sighting.announcement.curve_key)
    except ValueError:
        return []
    return [(address, key) for address in sighting.addresses]
