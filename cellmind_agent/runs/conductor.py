"""The desk for runs: starts, stops and shows those that this agent leads, and tells what it knows of the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.planning.ledger import ledger_of
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    NotAllowedError,
    ProtocolError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.runs.audience import Audience
from cellmind_agent.runs.leader import Leader
from cellmind_agent.runs.member import MemberDesk
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller

_REMEMBERED_RUNS = 8  # that are over: whoever comes late still sees how they ended
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Led:
    leader: Leader
    task: asyncio.Task[None]


class Conductor:
    """The runs that this agent leads, and what is known of the others."""

    def __init__(self, device: DeviceId, peers: Peers, desk: MemberDesk, journal: Journal) -> None:
        self._device, self._peers, self._desk, self._journal = device, peers, desk, journal
        self._runs: dict[RunId, _Led] = {}
        desk.local_store = self._answer_store

    def handlers(self) -> dict[type, Handler]:
        store = (m.StoreSet, m.StoreGet, m.StoreAdd, m.StoreCompareSet, m.StoreCheck, m.StoreDelete)
        return {
            m.StartRun: self._start,
            m.StopRun: self._stop,
            m.WatchRun: self._watch,
            m.ListRuns: self._list,
            m.GetRun: self._get,
            **dict.fromkeys(store, self._serve_store),
        }

    @property
    def is_busy(self) -> bool:
        return any(not led.task.done() for led in self._runs.values())

    async def close(self) -> None:
        """The agent goes down: every run that it leads fails in good order."""
        active = [led for led in self._runs.values() if not led.task.done()]
        for led in active:
            led.leader.give_up(f"the leader, {led.leader.spec.roster[0].name}, is shutting down")
        tasks = [led.task for led in active]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- asked by people -------------------------------------------------------------------------------------------

    async def _start(self, request: m.StartRun, caller: Caller) -> m.Done:
        spec = request.spec
        if not spec.roster or spec.roster[0].device != self._device:
            raise NotAllowedError("this device is not the first of the roster")
        if self.is_busy or self._desk.run is not None:
            raise BusyError(f"{self._desk.run or 'another run'} is running here already")
        try:
            ledger = ledger_of(spec)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        if spec.resume_from and spec.resume_from.step >= ledger.total_steps:
            raise CellmindError(
                f"{spec.run} has done all its {ledger.total_steps} steps", "raise `epochs` and train anew"
            )
        before = self._runs.pop(spec.run, None)
        term = before.leader.rendezvous.term + 1 if before else 1
        leader = Leader(spec, term, ledger, self._peers, self._desk, Audience(spec.run, self._journal))
        self._runs[spec.run] = _Led(leader=leader, task=asyncio.create_task(leader.lead(), name=f"lead {spec.run}"))
        for old in list(self._runs)[:-_REMEMBERED_RUNS]:
            del self._runs[old]
        return m.Done()

    async def _stop(self, request: m.StopRun, caller: Caller) -> m.Done:
        led = self._led(request.run)
        if led.task.done():
            raise UnknownNameError(f"{request.run} is not running", "cellmindctl runs")
        led.leader.ask_stop()
        return m.Done()

    async def _watch(self, request: m.WatchRun, caller: Caller) -> AsyncIterator[Any]:
        async for event in self._led(request.run).leader.audience.watch():
            yield event

    async def _list(self, request: m.ListRuns, caller: Caller) -> m.RunList:
        return m.RunList(runs=tuple(self._present(view) for _, view in self._journal.runs()))

    async def _get(self, request: m.GetRun, caller: Caller) -> m.RunFound:
        spec, view = self._journal.load_run(request.run)
        return m.RunFound(spec=spec, view=self._present(view))

    def _present(self, view: m.RunView) -> m.RunView:
        """What an agent that was killed wrote last may say `training`; it is not."""
        if view.state in ("preparing", "training") and self._desk.run != view.run:
            return replace(view, state="failed", error="the device went down during the run")
        return view

    def _led(self, run: RunId) -> _Led:
        if run not in self._runs:
            raise UnknownNameError(f"this device does not lead {run!r:.60} now", "cellmindctl runs")
        return self._runs[run]

    # -- rendezvous ------------------------------------------------------------------------------------------------

    async def _serve_store(self, request: Any, caller: Caller) -> Any:
        led = self._led(request.run)
        if caller.device not in {member.device for member in led.leader.spec.roster}:
            raise NotAllowedError("only the members of a run meet in its store")
        return await self._answer_store(request)

    async def _answer_store(self, request: Any) -> Any:
        rendezvous = self._led(request.run).leader.rendezvous
        if request.term != rendezvous.term:
            raise NotAllowedError(f"term {request.term} of {rendezvous.run} is over")
        return await rendezvous.answer(request)
