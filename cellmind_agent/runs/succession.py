"""A member notices that its leader is lost. Then it follows another one, or leads the run itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.peers import Peers
from cellmind_agent.planning.succession import seconds_to_lead
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import EXPECTED_LEADER_SECONDS, ORPHAN_SECONDS, SUCCESSION_CHECK_SECONDS
from cellmind_agent.runs.participation import Participation
from model.line.sentence import Sentence

TakeOver: TypeAlias = Callable[[Participation, Sentence], None]


class Succession:
    """Watches the leader of the run in which this device takes part. `take_over` must be set before the first run."""

    def __init__(self, device: DeviceId, peers: Peers) -> None:
        self._device, self._peers = device, peers
        self.take_over: TakeOver | None = None

    def is_present(self, leader: DeviceId | None) -> bool:
        """Whether that leader is this device itself, or one that is online."""
        return leader == self._device or leader in self._peers.online()

    async def until_leaderless(self, part: Participation, leave_group: Callable[[], Awaitable[None]]) -> Sentence:
        """Return when no leader is left that this device could follow, and it cannot lead either; the result says so.

        `leave_group` is called when the leader is lost: what the trainer exchanges with the others has no use then.
        """
        while True:
            lost = part.term.leader
            await self._until_lost(part)
            is_silent = self._peers.is_silent(lost)
            part.leader = part.channel = None
            await leave_group()
            part.touch()
            why = Sentence("the leader, {name}, went away", name=self._name(part, lost))
            if not await self._find_leader(part, lost, is_silent, why):
                return why

    async def _until_lost(self, part: Participation) -> None:
        """The leader left in good order, its connection is lost, or its device is absent.

        When the connection is lost, the leader has given this member up, even if both are online again by another one
        (after a sleep that nobody here has noticed).
        """
        while part.leader is not None:
            waits = [asyncio.create_task(part.until(_has_changed(part)))]
            if part.leader != self._device:
                waits.append(asyncio.create_task(self._peers.until_absent(part.leader)))
                if isinstance(part.channel, Channel):
                    waits.append(asyncio.create_task(part.channel.lost()))
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if not waits[0].done():
                    return
            finally:
                for wait in waits:
                    wait.cancel()

    async def _find_leader(self, part: Participation, lost: DeviceId, is_silent: bool, why: Sentence) -> bool:
        """Wait for another leader, or lead. Returns whether there is a leader."""
        clock = asyncio.get_running_loop().time
        lost_at, roster = clock(), [seat.device for seat in part.roster if seat.device != lost]
        while clock() < lost_at + ORPHAN_SECONDS:
            await part.until(lambda: part.leader is not None, SUCCESSION_CHECK_SECONDS)
            if part.leader is not None:
                return True
            if self._peers.wakefulness.is_suspending:  # the others have not gone: this device goes
                lost_at = clock()
                continue
            if self._device not in roster or not part.may_lead or self.take_over is None:
                continue
            wait = seconds_to_lead(self._device, roster, set(self._peers.online()), is_silent)
            is_back = not part.has_leader_left and lost in self._peers.online()  # perhaps it was us who slept
            if part.expected_leader is not None or is_back:
                wait += EXPECTED_LEADER_SECONDS
            if clock() >= lost_at + wait:
                self.take_over(part, why)
                await part.until(lambda: part.leader is not None)
                return True
        return False

    def _name(self, part: Participation, device: DeviceId) -> str:
        return next((seat.name for seat in part.roster if seat.device == device), self._peers.name(device))


def _has_changed(part: Participation) -> Callable[[], bool]:
    """Whether the leader, or its connection, is another one than now."""
    leader, channel = part.leader, part.channel
    return lambda: part.leader != leader or part.channel is not channel
