"""Leading a run: `planning/rounds` decides, this file makes it happen, and the watchers see it.

1. Every member prepares (fetches blobs, starts its trainer); the stream that says so lives as long as it takes part.
2. Rounds are opened and committed on all members, or the run fails.
3. Whoever is lost, by word, by link or by silence, ends the run; the survivors keep the last checkpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.planning import rounds
from cellmind_agent.planning.ledger import Ledger, ledger_of
from cellmind_agent.planning.shares import shares
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    NotAllowedError,
    ProtocolError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import ROUND_PATIENCE_SECONDS, SILENCE_SECONDS
from cellmind_agent.runs.member import MemberDesk
from cellmind_agent.runs.rendezvous import Rendezvous
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)
M = TypeVar("M")
_GRACE_SECONDS = SILENCE_SECONDS + 1.0  # a trainer that fell over another one: silence will tell which
_PROGRESS_SECONDS = 0.5
_REMEMBERED_RUNS = 8
_OVER = (m.RunFinished, m.RunFailed)


@dataclass(slots=True, kw_only=True)
class _Run:
    """A run that this agent leads."""

    spec: m.RunSpec
    term: int
    ledger: Ledger
    life: rounds.RunLife
    rendezvous: Rendezvous
    started_at: float
    inbox: asyncio.Queue[rounds.RunEvent] = field(default_factory=asyncio.Queue)
    history: deque[Any] = field(default_factory=lambda: deque(maxlen=2000))
    watchers: list[asyncio.Queue[Any]] = field(default_factory=list)
    heard: dict[int, m.MemberProgressed] = field(default_factory=dict)
    shares: tuple[int, ...] = ()
    round_opened_at: float = 0.0
    round_tokens: int = 0
    seconds_per_step: float | None = None
    tokens: int = 0
    val_loss: float | None = None
    checkpoint_at: float | None = None
    progress_at: float = 0.0
    work: set[asyncio.Task[None]] = field(default_factory=set)
    task: asyncio.Task[None] | None = None


class Conductor:
    """The runs that this agent leads, and what is known of the others."""

    def __init__(self, device: DeviceId, peers: Peers, desk: MemberDesk, journal: Journal) -> None:
        self._device, self._peers, self._desk, self._journal = device, peers, desk, journal
        self._runs: dict[RunId, _Run] = {}
        self._myself = Caller(standing="member", curve_key=b"", device=device, host="")
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
        return any(run.task and not run.task.done() for run in self._runs.values())

    async def close(self) -> None:
        """The agent goes down: every run that it leads fails in good order."""
        tasks = [run.task for run in self._runs.values() if run.task and not run.task.done()]
        for run in self._runs.values():
            run.inbox.put_nowait(rounds.Lost(rank=0, why=f"the leader, {run.spec.roster[0].name}, is shutting down"))
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- asked by people -------------------------------------------------------------------------------------------

    async def _start(self, request: m.StartRun, caller: Caller) -> m.Done:
        spec = request.spec
        if not spec.roster or spec.roster[0].device != self._device:
            raise NotAllowedError("this device is not the first of the roster")
        if self.is_busy or self._desk.run is not None:
            busy = self._desk.run or next(iter(self._runs))
            raise BusyError(f"{busy} is running here already")
        try:
            ledger = ledger_of(spec)
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        step = spec.resume_from.step if spec.resume_from else 0
        if step >= ledger.total_steps:
            raise CellmindError(
                f"{spec.run} has done all its {ledger.total_steps} steps", "raise `epochs` and train anew"
            )
        term = self._runs[spec.run].term + 1 if spec.run in self._runs else 1
        run = _Run(
            spec=spec,
            term=term,
            ledger=ledger,
            life=rounds.Preparing(waiting=frozenset(range(len(spec.roster))), step=step),
            rendezvous=Rendezvous(spec.run, term),
            started_at=_now(),
            tokens=spec.resume_from.tokens if spec.resume_from else 0,
        )
        self._runs.pop(spec.run, None)
        self._runs[spec.run] = run
        for old in list(self._runs)[:-_REMEMBERED_RUNS]:
            del self._runs[old]
        run.task = asyncio.create_task(self._lead(run), name=f"lead {spec.run}")
        return m.Done()

    async def _stop(self, request: m.StopRun, caller: Caller) -> m.Done:
        run = self._leading(request.run)
        if run.task is None or run.task.done():
            raise UnknownNameError(f"{request.run} is not running", "cellmindctl runs")
        run.inbox.put_nowait(rounds.StopAsked())
        return m.Done()

    async def _watch(self, request: m.WatchRun, caller: Caller) -> AsyncIterator[Any]:
        run = self._leading(request.run)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for event in run.history:
            queue.put_nowait(event)
        run.watchers.append(queue)
        try:
            while True:
                event = await queue.get()
                yield event
                if isinstance(event, _OVER):
                    return
        finally:
            run.watchers.remove(queue)

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

    def _leading(self, run: RunId) -> _Run:
        if run not in self._runs:
            raise UnknownNameError(f"this device does not lead {run!r:.60}", "cellmindctl runs")
        return self._runs[run]

    # -- rendezvous ------------------------------------------------------------------------------------------------

    async def _serve_store(self, request: Any, caller: Caller) -> Any:
        run = self._leading(request.run)
        if caller.device not in {member.device for member in run.spec.roster}:
            raise NotAllowedError("only the members of a run meet in its store")
        return await self._answer_store(request)

    async def _answer_store(self, request: Any) -> Any:
        run = self._leading(request.run)
        if request.term != run.term:
            raise NotAllowedError(f"term {request.term} of {run.spec.run} is over")
        return await run.rendezvous.answer(request)

    # -- leading ---------------------------------------------------------------------------------------------------

    async def _lead(self, run: _Run) -> None:
        try:
            for rank in range(len(run.spec.roster)):
                self._do(run, self._attend(run, rank))
            self._do(run, self._guard(run))
            while not isinstance(run.life, rounds.Ended):
                event = await run.inbox.get()
                if isinstance(event, rounds.Lost):
                    self._tell(
                        run, m.MemberLost(run=run.spec.run, name=run.spec.roster[event.rank].name, why=event.why)
                    )
                run.life, actions = rounds.transition(
                    run.life, event, run.ledger, len(run.spec.roster), self._pace(run)
                )
                for action in actions:
                    await self._perform(run, action)
        except Exception:
            _log.exception("leading %s failed", run.spec.run)
            await self._end(run, rounds.End(cause="failed", why="an error in the leader's agent; its log says more"))
        finally:
            for task in run.work:
                task.cancel()
            await asyncio.gather(*run.work, return_exceptions=True)

    async def _perform(self, run: _Run, action: rounds.Action) -> None:
        match action:
            case rounds.OpenRound():
                self._open_round(run, action)
            case rounds.Commit():
                self._commit_round(run, action)
            case rounds.End():
                await self._end(run, action)

    def _open_round(self, run: _Run, action: rounds.OpenRound) -> None:
        speeds = [
            run.heard[rank].compute_tokens_per_second if rank in run.heard else member.tokens_per_second
            for rank, member in enumerate(run.spec.roster)
        ]
        run.shares = shares(speeds, run.spec.batch_samples)
        run.round_opened_at, run.round_tokens = _now(), run.tokens
        self._tell(
            run,
            m.RoundStarted(
                run=run.spec.run,
                round=action.round,
                step=action.step,
                num_steps=action.num_steps,
                total_steps=run.ledger.total_steps,
            ),
        )
        request = m.TrainRound(
            run=run.spec.run,
            round=action.round,
            first_step=action.step,
            num_steps=action.num_steps,
            shares=run.shares,
            evaluate=action.is_evaluated,
        )

        async def train(rank: int) -> rounds.RunEvent:
            return rounds.Trained(rank=rank, result=await self._call(run, rank, request, m.RoundTrained))

        self._ask_all(run, train)

    def _commit_round(self, run: _Run, action: rounds.Commit) -> None:
        now, result = _now(), action.result
        steps = run.life.step - _first_step(run) if isinstance(run.life, rounds.Committing) else 0
        seconds = now - run.round_opened_at
        if steps:
            run.seconds_per_step = seconds / steps
        run.tokens = result.tokens
        if result.val_loss is not None:
            run.val_loss = result.val_loss
        committed = m.RoundCommitted(
            run=run.spec.run,
            round=action.round,
            step=action.step,
            total_steps=run.ledger.total_steps,
            tokens=result.tokens,
            loss=result.loss,
            tokens_per_second=(result.tokens - run.round_tokens) / seconds if seconds > 0 else 0.0,
            members=self._member_progress(run),
            wire_bytes=self._wire_bytes(run),
            state_hash=result.state_hash,
            val_loss=result.val_loss,
            val_bits_per_byte=result.val_bits_per_byte,
        )
        request = m.CommitRound(
            run=run.spec.run,
            round=action.round,
            step=action.step,
            tokens=result.tokens,
            checkpoint=action.is_checkpoint,
            time=time.time(),
            val_loss=run.val_loss,
        )
        waiting = set(range(len(run.spec.roster)))

        async def commit(rank: int) -> rounds.RunEvent:
            answer = await self._call(run, rank, request, m.MemberCommitted)
            waiting.discard(rank)
            if not waiting:
                self._tell(run, committed)
                if answer.checkpoint:
                    run.checkpoint_at = _now()
                    self._tell(run, self._checkpoint_saved(run, answer.checkpoint))
            return rounds.Committed(rank=rank)

        self._ask_all(run, commit)

    async def _end(self, run: _Run, action: rounds.End) -> None:
        """Tell the watchers first: a member that is gone must not keep them waiting."""
        spec = run.spec
        if action.cause == "failed":
            hint = f"cellmindctl resume {spec.run} goes on from the last checkpoint"
            if run.checkpoint_at is None and spec.resume_from is None:
                hint = "there was no checkpoint yet: start again with cellmindctl train"
            self._tell(run, m.RunFailed(run=spec.run, why=action.why or "unknown", hint=hint))
        else:
            step = run.life.step if not isinstance(run.life, rounds.Ended) else self._last_step(run)
            self._tell(
                run,
                m.RunFinished(
                    run=spec.run,
                    step=step,
                    tokens=run.tokens,
                    seconds=_now() - run.started_at,
                    stopped=action.cause == "stopped",
                    val_loss=run.val_loss,
                ),
            )
        request = m.DismissMember(run=spec.run, state=action.cause, error=action.why)
        calls = [self._call(run, rank, request, m.Done, seconds=10.0) for rank in range(len(spec.roster))]
        await asyncio.gather(*calls, return_exceptions=True)

    # -- members ---------------------------------------------------------------------------------------------------

    async def _attend(self, run: _Run, rank: int) -> None:
        """One member's stream, from its preparation to its end."""
        member = run.spec.roster[rank]
        why = "it left"
        try:
            request = m.PrepareMember(spec=run.spec, rank=rank, term=run.term)
            async for event in self._prepare_stream(member.device, request):
                if isinstance(event, m.MemberReady):
                    run.inbox.put_nowait(rounds.Ready(rank=rank))
                elif isinstance(event, m.MemberProgressed):
                    self._note_progress(run, rank, event)
                elif isinstance(event, m.MemberFailed):
                    why = event.why
                    if event.lost_peer:
                        await asyncio.sleep(_GRACE_SECONDS)
        except CellmindError as error:
            why = error.message
        run.inbox.put_nowait(rounds.Lost(rank=rank, why=f"{member.name} left the run: {why}"))

    def _prepare_stream(self, device: DeviceId, request: m.PrepareMember) -> AsyncIterator[Any]:
        if device == self._device:
            return self._desk.prepare(request, self._myself)
        return self._peers.link(device).stream(request)

    async def _guard(self, run: _Run) -> None:
        """A frozen or sleeping device says nothing at all: silence ends the run too."""
        while True:
            await asyncio.sleep(1.0)
            for rank, member in enumerate(run.spec.roster):
                if member.device != self._device and self._peers.state(member.device) != "online":
                    why = f"{member.name} left the run: silent for {SILENCE_SECONDS:g} s"
                    run.inbox.put_nowait(rounds.Lost(rank=rank, why=why))
                    return

    def _ask_all(self, run: _Run, ask: Any) -> None:
        async def ask_one(rank: int) -> None:
            try:
                run.inbox.put_nowait(await ask(rank))
            except CellmindError as error:
                await asyncio.sleep(_GRACE_SECONDS)  # its own stream says it better
                why = f"{run.spec.roster[rank].name} left the run: {error.message}"
                run.inbox.put_nowait(rounds.Lost(rank=rank, why=why))

        for rank in range(len(run.spec.roster)):
            self._do(run, ask_one(rank))

    async def _call(
        self, run: _Run, rank: int, request: Any, answer: type[M], seconds: float = ROUND_PATIENCE_SECONDS
    ) -> M:
        device = run.spec.roster[rank].device
        if device != self._device:
            return await self._peers.link(device).request(request, answer, seconds)
        result = await self._desk.handlers()[type(request)](request, self._myself)
        assert isinstance(result, answer)
        return result

    def _do(self, run: _Run, work: Any) -> None:
        task = asyncio.create_task(work)
        run.work.add(task)
        task.add_done_callback(run.work.discard)

    # -- what the watchers see -------------------------------------------------------------------------------------

    def _note_progress(self, run: _Run, rank: int, event: m.MemberProgressed) -> None:
        run.heard[rank] = event
        now = _now()
        if rank != 0 or not isinstance(run.life, rounds.Training) or now - run.progress_at < _PROGRESS_SECONDS:
            return
        run.progress_at = now
        done = event.step - run.life.step
        seconds = now - run.round_opened_at
        left = run.ledger.total_steps - event.step
        pace = seconds / done if done > 0 else run.seconds_per_step
        self._tell(
            run,
            m.Progressed(
                run=run.spec.run,
                round=run.life.round,
                step=event.step,
                total_steps=run.ledger.total_steps,
                tokens=event.tokens,
                loss=event.loss,
                tokens_per_second=(event.tokens - run.round_tokens) / seconds if seconds > 0 else 0.0,
                members=self._member_progress(run),
                wire_bytes=self._wire_bytes(run),
                eta_seconds=left * pace if pace else None,
            ),
        )

    def _member_progress(self, run: _Run) -> tuple[m.MemberProgress, ...]:
        total = sum(run.shares) or 1
        tokens = run.heard[0].tokens if 0 in run.heard else run.tokens
        return tuple(
            m.MemberProgress(
                name=member.name,
                tokens=tokens * run.shares[rank] // total if run.shares else 0,
                tokens_per_second=run.heard[rank].compute_tokens_per_second if rank in run.heard else 0.0,
                idle_fraction=run.heard[rank].idle_fraction if rank in run.heard else 0.0,
                share=run.shares[rank] if run.shares else 0,
            )
            for rank, member in enumerate(run.spec.roster)
        )

    def _wire_bytes(self, run: _Run) -> int:
        return sum(event.wire_bytes for event in run.heard.values())

    def _checkpoint_saved(self, run: _Run, model: m.ModelView) -> m.CheckpointSaved:
        return m.CheckpointSaved(
            run=run.spec.run,
            step=model.step,
            state_hash=model.state_hash,
            members=tuple(member.name for member in run.spec.roster),
        )

    def _tell(self, run: _Run, event: Any) -> None:
        if run.history and isinstance(run.history[-1], _OVER):
            return
        if isinstance(event, m.Progressed) and run.history and isinstance(run.history[-1], m.Progressed):
            run.history.pop()
        run.history.append(event)
        for queue in run.watchers:
            queue.put_nowait(event)
        if not isinstance(event, m.Progressed):
            _log.info("%s: %s", run.spec.run, event)
            with contextlib.suppress(CellmindError, OSError):  # a full disk must not end a run that can go on
                self._journal.append_event(run.spec.run, type(event).__name__, event)

    def _pace(self, run: _Run) -> rounds.Pace:
        since = None if run.checkpoint_at is None else _now() - run.checkpoint_at
        return rounds.Pace(seconds_per_step=run.seconds_per_step, seconds_since_checkpoint=since)

    def _last_step(self, run: _Run) -> int:
        committed = [event.step for event in run.history if isinstance(event, m.RoundCommitted)]
        return committed[-1] if committed else 0


def _first_step(run: _Run) -> int:
    started = [event.step for event in run.history if isinstance(event, m.RoundStarted)]
    return started[-1] if started else 0


def _now() -> float:
    return asyncio.get_running_loop().time()
