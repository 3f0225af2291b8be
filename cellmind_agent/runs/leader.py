"""Leading one run: `planning/rounds` decides, this file makes it happen, and the audience sees it.

1. Every member prepares (fetches blobs, starts its trainer); the stream that says so lives as long as it takes part.
2. Rounds are opened and committed on all members, or the run fails.
3. Whoever is lost, by word, by link or by silence, ends the run; the survivors keep the last checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning import rounds
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.shares import shares
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import PATIENCE_CEILING_SECONDS, ROUND_PATIENCE_SECONDS, RUN_HEARTBEAT_SECONDS
from cellmind_agent.runs.audience import Audience
from cellmind_agent.runs.member import MemberDesk
from cellmind_agent.runs.rendezvous import Rendezvous
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)
M = TypeVar("M")
# A trainer that fell over another one: silence will tell over which.
_GRACE_SECONDS = PATIENCE_CEILING_SECONDS / 2 + RUN_HEARTBEAT_SECONDS
_PROGRESS_SECONDS = 0.5
_GUARD_SECONDS = 0.25


class Leader:
    """One run, led by this device."""

    def __init__(
        self, spec: m.RunSpec, term: int, ledger: Ledger, peers: Peers, desk: MemberDesk, audience: Audience
    ) -> None:
        self.spec, self.audience = spec, audience
        self.rendezvous = Rendezvous(spec.run, term)
        self._ledger, self._peers, self._desk = ledger, peers, desk
        self._device: DeviceId = spec.roster[0].device
        self._myself = Caller(standing="member", curve_key=b"", device=self._device, host="")
        self._size = len(spec.roster)
        start = spec.resume_from
        self._life: rounds.RunLife = rounds.Preparing(
            waiting=frozenset(range(self._size)), step=start.step if start else 0
        )
        self._inbox: asyncio.Queue[rounds.RunEvent] = asyncio.Queue()
        self._work: set[asyncio.Task[None]] = set()
        # -- figures of the round, and of the run
        self._heard: dict[int, m.MemberProgressed] = {}
        self._shares: tuple[int, ...] = ()
        self._started_at = self._round_opened_at = self._told_at = _now()
        self._round_tokens = self._tokens = start.tokens if start else 0
        self._step = start.step if start else 0
        self._val_loss: float | None = None
        self._seconds_per_step: float | None = None
        self._checkpoint_at: float | None = None

    async def lead(self) -> None:
        """From the first preparation to the last word. Never raises but for cancellation."""
        try:
            for rank in range(self._size):
                self._do(self._attend(rank))
            self._do(self._guard())
            while not isinstance(self._life, rounds.Ended):
                event = await self._inbox.get()
                if isinstance(event, rounds.Lost):
                    name = self.spec.roster[event.rank].name
                    self.audience.tell(m.MemberLost(run=self.spec.run, name=name, why=event.why))
                self._life, actions = rounds.transition(self._life, event, self._ledger, self._size, self._pace())
                for action in actions:
                    await self._perform(action)
        except Exception:
            _log.exception("leading %s failed", self.spec.run)
            await self._end(rounds.End(cause="failed", why="an error in the leader's agent; its log says more"))
        finally:
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)

    def ask_stop(self) -> None:
        self._inbox.put_nowait(rounds.StopAsked())

    def give_up(self, why: str) -> None:
        """The agent goes down: fail in good order."""
        self._inbox.put_nowait(rounds.Lost(rank=0, why=why))

    # -- actions ---------------------------------------------------------------------------------------------------

    async def _perform(self, action: rounds.Action) -> None:
        match action:
            case rounds.OpenRound():
                self._open_round(action)
            case rounds.Commit():
                self._commit_round(action)
            case rounds.End():
                await self._end(action)

    def _open_round(self, action: rounds.OpenRound) -> None:
        self._shares = shares([self._speed(rank) for rank in range(self._size)], self.spec.batch_samples)
        self._round_opened_at, self._round_tokens, self._step = _now(), self._tokens, action.step
        self.audience.tell(
            m.RoundStarted(
                run=self.spec.run,
                round=action.round,
                step=action.step,
                num_steps=action.num_steps,
                total_steps=self._ledger.total_steps,
            )
        )
        request = m.TrainRound(
            run=self.spec.run,
            round=action.round,
            first_step=action.step,
            num_steps=action.num_steps,
            shares=self._shares,
            evaluate=action.is_evaluated,
        )

        async def train(rank: int) -> rounds.RunEvent:
            return rounds.Trained(rank=rank, result=await self._call(rank, request, m.RoundTrained))

        self._ask_all(train)

    def _commit_round(self, action: rounds.Commit) -> None:
        committed = self._committed(action)
        request = m.CommitRound(
            run=self.spec.run,
            round=action.round,
            step=action.step,
            tokens=action.result.tokens,
            checkpoint=action.is_checkpoint,
            time=time.time(),
            val_loss=self._val_loss,
        )
        waiting = set(range(self._size))

        async def commit(rank: int) -> rounds.RunEvent:
            answer = await self._call(rank, request, m.MemberCommitted)
            waiting.discard(rank)
            if not waiting:
                self.audience.tell(committed)
                if answer.checkpoint:
                    self._checkpoint_at = _now()
                    self.audience.tell(self._checkpoint_saved(answer.checkpoint))
            return rounds.Committed(rank=rank)

        self._ask_all(commit)

    def _committed(self, action: rounds.Commit) -> m.RoundCommitted:
        """What the round came to; the figures of the run go on with it."""
        result, seconds = action.result, _now() - self._round_opened_at
        if action.step > self._step:
            self._seconds_per_step = seconds / (action.step - self._step)
        if result.val_loss is not None:
            self._val_loss = result.val_loss
        self._tokens, self._step = result.tokens, action.step
        return m.RoundCommitted(
            run=self.spec.run,
            round=action.round,
            step=action.step,
            total_steps=self._ledger.total_steps,
            tokens=result.tokens,
            loss=result.loss,
            tokens_per_second=(result.tokens - self._round_tokens) / seconds if seconds > 0 else 0.0,
            members=self._members(result.tokens),
            wire_bytes=self._wire_bytes(),
            state_hash=result.state_hash,
            val_loss=result.val_loss,
            val_bits_per_byte=result.val_bits_per_byte,
        )

    async def _end(self, action: rounds.End) -> None:
        """Tell the watchers first: a member that is gone must not keep them waiting."""
        run = self.spec.run
        if action.cause == "failed":
            hint = f"cellmindctl resume {run} goes on from the last checkpoint"
            if self._checkpoint_at is None and self.spec.resume_from is None:
                hint = "there was no checkpoint yet: start again with cellmindctl train"
            self.audience.tell(m.RunFailed(run=run, why=action.why or "unknown", hint=hint))
        else:
            self.audience.tell(
                m.RunFinished(
                    run=run,
                    step=self._step,
                    tokens=self._tokens,
                    seconds=_now() - self._started_at,
                    stopped=action.cause == "stopped",
                    val_loss=self._val_loss,
                )
            )
        request = m.DismissMember(run=run, state=action.cause, error=action.why)
        calls = [self._call(rank, request, m.Done, seconds=10.0) for rank in range(self._size)]
        await asyncio.gather(*calls, return_exceptions=True)

    # -- members ---------------------------------------------------------------------------------------------------

    async def _attend(self, rank: int) -> None:
        """One member's stream, from its preparation to its end."""
        member = self.spec.roster[rank]
        why = "it left"
        try:
            request = m.PrepareMember(spec=self.spec, rank=rank, term=self.rendezvous.term)
            async for event in self._prepare_stream(member.device, request):
                if isinstance(event, m.MemberReady):
                    self._inbox.put_nowait(rounds.Ready(rank=rank))
                elif isinstance(event, m.MemberProgressed):
                    self._note_progress(rank, event)
                elif isinstance(event, m.MemberFailed):
                    why = event.why
                    if event.lost_peer:
                        await asyncio.sleep(_GRACE_SECONDS)
        except CellmindError as error:
            why = error.message
        self._lose(rank, why)

    def _prepare_stream(self, device: DeviceId, request: m.PrepareMember) -> AsyncIterator[Any]:
        if device == self._device:
            return self._desk.prepare(request, self._myself)
        return self._peers.link(device).stream(request)

    async def _guard(self) -> None:
        """A frozen or sleeping device says nothing at all: silence ends the run too."""
        while True:
            await asyncio.sleep(_GUARD_SECONDS)
            for rank, member in enumerate(self.spec.roster):
                if member.device != self._device and self._peers.state(member.device) != "online":
                    self._lose(rank, "it fell silent")
                    return

    def _ask_all(self, ask: Callable[[int], Awaitable[rounds.RunEvent]]) -> None:
        async def ask_one(rank: int) -> None:
            try:
                self._inbox.put_nowait(await ask(rank))
            except CellmindError as error:
                await asyncio.sleep(_GRACE_SECONDS)  # its own stream says it better
                self._lose(rank, error.message)

        for rank in range(self._size):
            self._do(ask_one(rank))

    def _lose(self, rank: int, why: str) -> None:
        self._inbox.put_nowait(rounds.Lost(rank=rank, why=f"{self.spec.roster[rank].name} left the run: {why}"))

    async def _call(self, rank: int, request: Any, answer: type[M], seconds: float = ROUND_PATIENCE_SECONDS) -> M:
        device = self.spec.roster[rank].device
        if device != self._device:
            return await self._peers.link(device).request(request, answer, seconds)
        result = await self._desk.handlers()[type(request)](request, self._myself)
        assert isinstance(result, answer)
        return result

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    # -- figures ---------------------------------------------------------------------------------------------------

    def _speed(self, rank: int) -> float | None:
        heard = self._heard.get(rank)
        return heard.compute_tokens_per_second if heard else self.spec.roster[rank].tokens_per_second

    def _note_progress(self, rank: int, event: m.MemberProgressed) -> None:
        self._heard[rank] = event
        now = _now()
        if rank != 0 or not isinstance(self._life, rounds.Training) or now - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = now
        done, seconds = event.step - self._step, now - self._round_opened_at
        pace = seconds / done if done > 0 else self._seconds_per_step
        self.audience.tell(
            m.Progressed(
                run=self.spec.run,
                round=self._life.round,
                step=event.step,
                total_steps=self._ledger.total_steps,
                tokens=event.tokens,
                loss=event.loss,
                tokens_per_second=(event.tokens - self._round_tokens) / seconds if seconds > 0 else 0.0,
                members=self._members(event.tokens),
                wire_bytes=self._wire_bytes(),
                eta_seconds=(self._ledger.total_steps - event.step) * pace if pace else None,
            )
        )

    def _members(self, tokens: int) -> tuple[m.MemberProgress, ...]:
        """Each member's part of this round, of which all had `tokens` when it was told."""
        total = sum(self._shares) or 1
        return tuple(
            m.MemberProgress(
                name=member.name,
                tokens=(tokens - self._round_tokens) * self._shares[rank] // total,
                tokens_per_second=self._heard[rank].compute_tokens_per_second if rank in self._heard else 0.0,
                idle_fraction=self._heard[rank].idle_fraction if rank in self._heard else 0.0,
                share=self._shares[rank],
            )
            for rank, member in enumerate(self.spec.roster)
        )

    def _wire_bytes(self) -> int:
        return sum(event.wire_bytes for event in self._heard.values())

    def _checkpoint_saved(self, model: m.ModelView) -> m.CheckpointSaved:
        names = tuple(member.name for member in self.spec.roster)
        return m.CheckpointSaved(run=self.spec.run, step=model.step, state_hash=model.state_hash, members=names)

    def _pace(self) -> rounds.Pace:
        since = None if self._checkpoint_at is None else _now() - self._checkpoint_at
        return rounds.Pace(seconds_per_step=self._seconds_per_step, seconds_since_checkpoint=since)


def _now() -> float:
    return asyncio.get_running_loop().time()
