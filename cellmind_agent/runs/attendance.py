"""Hears the members of a run for its leader: who is ready, who reports, who is lost, who leads too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning import run_life as life
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, SupersededError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.runs.membership import Company, Stay
from model.line.sentence import Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Leadership:
    """What a leader begins with: its first roster, itself first, and its term."""

    spec: m.RunSpec
    roster: tuple[m.RosterMember, ...]
    term: m.Term
    backend: BackendName
    start: m.ModelView | None = None
    taken_over: Sentence | None = None  # why: the leader before was lost


class Hearing(NamedTuple):
    """What the leader does with the members' words; `where` gives its term and its last commit."""

    happened: Callable[[life.RunEvent], None]
    joined: Callable[[m.RosterMember, m.MemberReady], None]
    progressed: Callable[[DeviceId, m.MemberProgressed], None]
    where: Callable[[], tuple[m.Term, m.LastCommit | None]]


class Attendance:
    """The streams of the members of one run."""

    def __init__(self, leadership: Leadership, peers: Peers, company: Company, hearing: Hearing) -> None:
        self._leadership, self._peers, self._company, self._hearing = leadership, peers, company, hearing
        self._me, self._is_taken_over = leadership.term.leader, leadership.taken_over is not None

    async def attend(self, stay: Stay) -> None:
        """One member's stream, from its preparation to its end."""
        absence = asyncio.create_task(self._peers.until_absent(stay.device)) if stay.device != self._me else None
        stream = asyncio.create_task(self._hear(stay))
        try:
            await asyncio.wait({task for task in (absence, stream) if task}, return_when=asyncio.FIRST_COMPLETED)
            self.lose(stay, stream.result() if stream.done() else Sentence("it fell silent"))
        finally:
            for task in (absence, stream):
                if task:
                    task.cancel()

    async def _hear(self, stay: Stay) -> Sentence:
        """What a member reports; the result is why it ended."""
        term, last = self._hearing.where()
        request = m.PrepareMember(
            spec=self._leadership.spec,
            term=term,
            roster=self._company.seats(self._company.devices),
            start=self._leadership.start,
            last=last,
        )
        why = Sentence("it left")
        try:
            async for event in self._company.claim(stay, request, self._is_taken_over):
                match event:
                    case m.MemberReady():
                        self._welcome(stay, event)
                    case m.MemberProgressed():
                        self._hearing.progressed(stay.device, event)
                    case m.MemberFailed():
                        why = event.why
        except SupersededError as error:
            why = error.message
            self._company.forgive(stay.device)
            if stay.is_ready or (self._is_taken_over and stay.is_first):
                self._hearing.happened(life.Replaced(why=why))
            elif rival := await self._company.rival_that_leads_on(*self._hearing.where()):
                self.yield_to(rival)
        except CellmindError as error:
            why = error.message
        return why

    def _welcome(self, stay: Stay, ready: m.MemberReady) -> None:
        stay.is_ready = True
        # No process group sends from Apple's GPUs. In a run of several members a Mac takes its processor.
        self._company.is_closed |= ready.device_kind == "mps"
        self._hearing.joined(stay.seat, ready)
        event = life.Ready(device=stay.device, held_states=ready.held_states, last=ready.last, term=ready.term)
        self._hearing.happened(event)

    def lose(self, stay: Stay, why: Sentence) -> None:
        """A device that never was ready has not taken part, unless it belongs to the first roster."""
        if self._company.stay(stay.device) is not stay:  # it has come back since
            return
        if not stay.is_ready and not stay.is_first:
            self._company.part_with(stay.device)
            return
        left = Sentence("{name} left the run: {why}", name=stay.seat.name, why=why)
        is_silent = self._peers.is_silent(stay.device)
        self._hearing.happened(life.Lost(device=stay.device, why=left, is_silent=is_silent))

    def yield_to(self, rival: DeviceId) -> None:
        """Another leader has committed more of the run."""
        text = "{name} leads {run} too, and has trained more of it"
        why = Sentence(text, name=self._peers.name(rival), run=self._leadership.spec.run)
        self._hearing.happened(life.Replaced(why=why, leader=rival))
