"""Leading one run: `planning/rounds` decides, this file acts on its decisions and informs the watchers.

1. Every member prepares: it fetches blobs and starts its trainer. Its stream of reports lasts as long as it takes part.
2. Rounds are opened and committed on all members, or the run fails.
3. A lost member, reported by itself, by its link or by its silence, ends the run; the others keep the last checkpoint.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning import rounds
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.limits import BLAME_GRACE_SECONDS, PROGRESS_SECONDS
from cellmind_agent.runs.audience import Audience
from cellmind_agent.runs.figures import RunFigures
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.members import LinkedMember, Member, OwnMember
from cellmind_agent.runs.rendezvous import Rendezvous
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)


class Leader:
    """One run, led by this device, the first of its roster."""

    def __init__(
        self,
        spec: m.RunSpec,
        ledger: Ledger,
        rendezvous: Rendezvous,
        peers: Peers,
        member: RunMember,
        audience: Audience,
    ) -> None:
        self.spec, self.audience = spec, audience
        self._ledger, self._peers, self._term = ledger, peers, rendezvous.term
        own = spec.roster[0].device
        others = [LinkedMember(other.device, peers) for other in spec.roster[1:]]
        self._members: list[Member] = [OwnMember(own, member), *others]
        self._size = len(spec.roster)
        self._figures = RunFigures(spec, ledger.total_steps, _now())
        ranks = frozenset(range(self._size))
        self._life: rounds.RunLife = rounds.Preparing(
            waiting=ranks, step=self._figures.step, held_out=self._figures.held_out
        )
        self._inbox: asyncio.Queue[rounds.RunEvent] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported_at = _now()

    async def lead(self) -> None:
        """From the first preparation to the end of the run. Raises nothing but CancelledError."""
        try:
            for rank in range(self._size):
                self._start(self._attend(rank))
            for rank in range(1, self._size):
                self._start(self._watch_absence(rank))
            while not isinstance(self._life, rounds.Ended):
                event = await self._inbox.get()
                if isinstance(event, rounds.Lost):
                    name = self.spec.roster[event.rank].name
                    self.audience.publish(m.MemberLost(run=self.spec.run, name=name, why=event.why))
                pace = self._figures.pace(_now())
                self._life, actions = rounds.transition(self._life, event, self._ledger, self._size, pace)
                for action in actions:
                    await self._perform(action)
        except Exception:
            _log.exception("leading %s failed", self.spec.run)
            await self._end(
                rounds.End(cause="failed", why=Sentence("an error in the leader's agent; its log says more"))
            )
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def ask_stop(self) -> None:
        """Stop after the round that is under way."""
        self._inbox.put_nowait(rounds.StopAsked())

    def give_up(self, why: Sentence) -> None:
        """End the run as failed, in good order: the agent is shutting down."""
        self._inbox.put_nowait(rounds.Lost(rank=0, why=why))

    # -- actions -------------------------------------------------------------------------------------------------------

    async def _perform(self, action: rounds.Action) -> None:
        match action:
            case rounds.OpenRound():
                self._open_round(action)
            case rounds.Commit():
                self._commit_round(action)
            case rounds.End():
                await self._end(action)

    def _open_round(self, action: rounds.OpenRound) -> None:
        self.audience.publish(self._figures.open_round(action, _now()))
        request = m.TrainRound(
            run=self.spec.run,
            round=action.round,
            first_step=action.step,
            num_steps=action.num_steps,
            shares=self._figures.shares,
            evaluate=action.is_evaluated,
        )

        async def train(rank: int) -> rounds.RunEvent:
            return rounds.Trained(rank=rank, result=await self._members[rank].train(request))

        self._ask_all(train)

    def _commit_round(self, action: rounds.Commit) -> None:
        committed = self._figures.commit_round(action, _now())
        request = m.CommitRound(
            run=self.spec.run,
            round=action.round,
            step=action.step,
            tokens=action.result.tokens,
            checkpoint=action.is_checkpoint,
            time=time.time(),
            val_loss=self._figures.val_loss,
            is_best=action.is_best,
            held_out=action.held_out,
        )
        waiting = set(range(self._size))

        async def commit(rank: int) -> rounds.RunEvent:
            answer = await self._members[rank].commit(request)
            waiting.discard(rank)
            if not waiting:
                self.audience.publish(committed)
                if answer.checkpoint:
                    self.audience.publish(self._figures.save_checkpoint(answer.checkpoint, _now()))
            return rounds.Committed(rank=rank)

        self._ask_all(commit)

    async def _end(self, action: rounds.End) -> None:
        """Inform the watchers first: a lost member must not keep them waiting."""
        run = self.spec.run
        if action.cause == "failed":
            hint = Sentence("cellmindctl resume {run} continues from the last checkpoint", run=run)
            if not self._figures.has_checkpoint:
                hint = Sentence("there was no checkpoint yet: start again with cellmindctl train")
            self.audience.publish(m.RunFailed(run=run, why=action.why or Sentence("unknown"), hint=hint))
        else:
            self.audience.publish(self._figures.finished(action.cause == "stopped", action.is_early, _now()))
        request = m.DismissMember(run=run, state=action.cause, error=action.why)
        await asyncio.gather(*(member.dismiss(request) for member in self._members), return_exceptions=True)

    # -- members -------------------------------------------------------------------------------------------------------

    async def _attend(self, rank: int) -> None:
        """One member's stream, from its preparation to its end."""
        why = Sentence("it left")
        try:
            request = m.PrepareMember(spec=self.spec, rank=rank, term=self._term)
            async for event in self._members[rank].prepare(request):
                match event:
                    case m.MemberReady():
                        name = self.spec.roster[rank].name
                        self.audience.publish(
                            m.MemberJoined(
                                run=self.spec.run, name=name, device_kind=event.device_kind, tuning=event.tuning
                            )
                        )
                        self._inbox.put_nowait(rounds.Ready(rank=rank))
                    case m.MemberProgressed():
                        self._note_progress(rank, event)
                    case m.MemberFailed():
                        why = event.why
                        if event.lost_peer:  # the peer's own link or silence will name the cause
                            await asyncio.sleep(BLAME_GRACE_SECONDS)
        except CellmindError as error:
            why = error.message
        self._lose(rank, why)

    async def _watch_absence(self, rank: int) -> None:
        """A frozen or sleeping device reports nothing: its silence ends the run too."""
        await self._peers.until_absent(self.spec.roster[rank].device)
        self._lose(rank, Sentence("it fell silent"))

    def _ask_all(self, ask: Callable[[int], Awaitable[rounds.RunEvent]]) -> None:
        async def ask_one(rank: int) -> None:
            try:
                self._inbox.put_nowait(await ask(rank))
            except CellmindError as error:
                await asyncio.sleep(BLAME_GRACE_SECONDS)  # its own stream knows the cause better
                self._lose(rank, error.message)

        for rank in range(self._size):
            self._start(ask_one(rank))

    def _lose(self, rank: int, why: Sentence) -> None:
        left = Sentence("{name} left the run: {why}", name=self.spec.roster[rank].name, why=why)
        self._inbox.put_nowait(rounds.Lost(rank=rank, why=left))

    def _note_progress(self, rank: int, progress: m.MemberProgressed) -> None:
        self._figures.note_progress(rank, progress)
        is_due = _now() - self._reported_at >= PROGRESS_SECONDS
        if rank == 0 and is_due and isinstance(self._life, rounds.Training):
            self._reported_at = _now()
            self.audience.publish(self._figures.progressed(self._life.round, progress, _now()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()
