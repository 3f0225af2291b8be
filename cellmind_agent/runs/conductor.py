"""Runs as users ask for them: starts, stops and shows those that this agent leads, and lists the others it knows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.planning.ledger import Ledger, ledger_of
from cellmind_agent.planning.story import story_of
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    NotAllowedError,
    ProtocolError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import BackendName, DeviceId, RunId
from cellmind_agent.protocol.limits import LEADER_CLOSE_SECONDS, REMEMBERED_RUNS
from cellmind_agent.runs.attendance import Leadership
from cellmind_agent.runs.audience import Audience
from cellmind_agent.runs.leader import Leader
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.membership import Company, Views
from cellmind_agent.runs.participation import Participation
from cellmind_agent.runs.rendezvous import Stores
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller
from model.line.sentence import Sentence

_SAFE_BACKEND: Final = BackendName("portable")  # works between any members


@dataclass(frozen=True, slots=True, kw_only=True)
class _Led:
    leader: Leader
    task: asyncio.Task[None]


class Conductor:
    """The runs that this agent leads, and what is known of the others."""

    def __init__(
        self, device: DeviceId, peers: Peers, member: RunMember, stores: Stores, journal: Journal, views: Views
    ) -> None:
        """The trainer of `member` meets the others in `stores` too, when this device leads its run. `views` gives all
        devices of the cell, this one included."""
        self._device, self._peers, self._member, self._views = device, peers, member, views
        self._stores, self._journal = stores, journal
        self._runs: dict[RunId, _Led] = {}
        member.succession.take_over = self._take_over

    def handlers(self) -> dict[type, Handler]:
        store = (m.StoreSet, m.StoreGet, m.StoreAdd, m.StoreCompareSet, m.StoreCheck, m.StoreDelete)
        return {
            m.StartRun: self._start,
            m.StopRun: self._stop,
            m.WatchRun: self._watch,
            m.ListRuns: self._list,
            m.GetRun: self._get,
            m.GetRunStory: self._story,
            m.CompareRun: self._compare,
            m.HasState: self._has_state,
            **dict.fromkeys(store, self._serve_store),
        }

    @property
    def is_busy(self) -> bool:
        return any(not led.task.done() for led in self._runs.values())

    async def close(self) -> None:
        """The agent shuts down: another member leads on; a run without one ends as failed, in good order."""
        active = [led for led in self._runs.values() if not led.task.done()]
        name = next((view.name for view in self._views() if view.is_self), "")
        for led in active:
            led.leader.give_up(Sentence("the leader, {name}, is shutting down", name=name))
        tasks = [led.task for led in active]
        if tasks:
            await asyncio.wait(tasks, timeout=LEADER_CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- what users ask ------------------------------------------------------------------------------------------------

    async def _start(self, request: m.StartRun, caller: Caller) -> m.Done:
        self.start(request)
        return m.Done()

    def start(self, request: m.StartRun) -> None:
        """Raises NotAllowedError, BusyError, ProtocolError (counts that make no run), CellmindError (all is done)."""
        spec = request.spec
        if not request.roster or request.roster[0].device != self._device:
            raise NotAllowedError("this device is not the first of the roster")
        if self.is_busy or self._member.run is not None:
            raise BusyError("{run} is running here already", run=self._member.run or "another run")
        try:
            ledger = ledger_of(spec)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if request.start and request.start.step >= ledger.total_steps:
            raise CellmindError(
                "{run} has done all its {total_steps} steps",
                "raise `epochs` and train again",
                run=spec.run,
                total_steps=ledger.total_steps,
            )
        leadership = Leadership(
            spec=spec,
            roster=request.roster,
            term=self._next_term(spec.run, max(request.newest_term, self._journal.last_term(spec.run))),
            backend=request.backend,
            start=request.start,
        )
        self._lead(leadership, ledger)

    def _take_over(self, part: Participation, why: Sentence) -> None:
        """The leader of the run in which this device takes part is lost, and this device is the next."""
        others = tuple(seat for seat in part.roster if seat.device not in (self._device, part.term.leader))
        own = next(seat for seat in part.roster if seat.device == self._device)
        leadership = Leadership(
            spec=part.spec,
            roster=(own, *others),
            term=self._next_term(part.spec.run, max(part.newest_term, part.term.number)),
            backend=part.backend or _SAFE_BACKEND,
            start=part.start,
            taken_over=why,
        )
        self._lead(leadership, ledger_of(part.spec))

    def _lead(self, leadership: Leadership, ledger: Ledger) -> None:
        run = leadership.spec.run
        self._runs.pop(run, None)
        company = Company(
            leadership.spec,
            self._device,
            leadership.roster,
            leadership.backend,
            self._peers,
            self._member,
            self._views,
        )
        leader = Leader(leadership, ledger, self._stores, self._peers, company, Audience(run, self._journal))
        self._runs[run] = _Led(leader=leader, task=asyncio.create_task(leader.lead(), name=f"lead {run}"))
        for old in list(self._runs)[:-REMEMBERED_RUNS]:
            del self._runs[old]
            self._stores.close(old)

    def _next_term(self, run: RunId, known: int) -> m.Term:
        return m.Term(number=max(known, self._stores.last_term(run)) + 1, leader=self._device)

    async def _stop(self, request: m.StopRun, caller: Caller) -> m.Done:
        led = self._led(request.run)
        if led.task.done():
            raise UnknownNameError("{run} is not running", "cellmindctl runs", run=request.run)
        led.leader.ask_stop()
        return m.Done()

    async def _watch(self, request: m.WatchRun, caller: Caller) -> AsyncIterator[m.RunEvent]:
        async for event in self._led(request.run).leader.audience.watch():
            yield event

    async def _list(self, request: m.ListRuns, caller: Caller) -> m.RunList:
        return m.RunList(runs=tuple(self._present(view) for _, view in self._journal.runs()))

    async def _get(self, request: m.GetRun, caller: Caller) -> m.RunFound:
        spec, view = self._journal.load_run(request.run)
        return m.RunFound(spec=spec, view=self._present(view))

    async def _story(self, request: m.GetRunStory, caller: Caller) -> m.RunStory:
        run = request.run
        spec, _ = self._journal.load_run(run)

        def read() -> m.RunStory:
            return story_of(spec, list(self._journal.story_events(run)), self._journal.checkpoint_stories(run))

        return await asyncio.to_thread(read)  # a long run has thousands of rounds

    def _present(self, view: m.RunView) -> m.RunView:
        """The view, corrected: the journal of an agent that was killed may still say `training`."""
        if view.state in ("preparing", "training") and self._member.run != view.run:
            return replace(view, state="failed", error=Sentence("the device went down during the run"))
        return view

    def _led(self, run: RunId) -> _Led:
        if run not in self._runs:
            raise UnknownNameError("this device does not lead {run} now", "cellmindctl runs", run=f"{run!r:.60}")
        return self._runs[run]

    # -- other leaders -------------------------------------------------------------------------------------------------

    async def _compare(self, request: m.CompareRun, caller: Caller) -> m.RunCompared:
        led = self._led(request.run)
        if led.task.done():
            raise UnknownNameError("{run} is not running", "cellmindctl runs", run=request.run)
        if caller.device != request.term.leader:
            raise NotAllowedError("a device may lead only in a term of its own")
        return m.RunCompared(leads_on=led.leader.leads_on(request.term, request.last))

    async def _has_state(self, request: m.HasState, caller: Caller) -> m.StateKnown:
        is_known = await asyncio.to_thread(self._journal.has_state, request.run, request.state_hash)
        return m.StateKnown(is_known=is_known)

    # -- rendezvous ----------------------------------------------------------------------------------------------------

    async def _serve_store(self, request: m.StoreRequest, caller: Caller) -> m.StoreAnswer:
        led = self._led(request.run)
        if not led.leader.is_member(caller.device):
            raise NotAllowedError("only the members of a run may use its store")
        return await self._stores.answer(request)
