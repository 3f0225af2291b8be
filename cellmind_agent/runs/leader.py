"""Leading one run: `planning/rounds` decides, this file acts on its decisions and informs the watchers.

1. Every member prepares: it fetches blobs and starts its trainer. Its stream of reports lasts as long as it takes part.
2. The members form a process group, in which rounds are opened and committed on all of them.
3. A lost member, reported by itself, by its link or by its silence, is dropped: the others form another group.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning import rounds
from cellmind_agent.planning import run_life as life
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, GroupBrokenError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import BLAME_GRACE_SECONDS, PROGRESS_SECONDS
from cellmind_agent.runs.audience import Audience
from cellmind_agent.runs.figures import RunFigures
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.members import LinkedMember, Member, OwnMember
from cellmind_agent.runs.rendezvous import Stores
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)


class Leader:
    """One run, led by this device, the first of its roster."""

    def __init__(
        self, spec: m.RunSpec, ledger: Ledger, stores: Stores, peers: Peers, member: RunMember, audience: Audience
    ) -> None:
        self.spec, self.audience = spec, audience
        self._ledger, self._stores, self._peers = ledger, stores, peers
        self._roster = {seat.device: seat for seat in spec.roster}
        self._leader, *others = self._roster
        self._members: dict[DeviceId, Member] = {self._leader: OwnMember(self._leader, member)}
        self._members |= {device: LinkedMember(device, peers) for device in others}
        self._figures = RunFigures(spec, ledger.total_steps, _now())
        self._life: life.RunLife = rounds.begin(
            tuple(self._roster), stores.last_term(spec.run), self._figures.step, self._figures.held_out
        )
        self._inbox: asyncio.Queue[life.RunEvent] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported_at = _now()
        self._committed: m.RoundCommitted | None = None  # the round that is being committed
        self._checkpoint: m.ModelView | None = None  # of that round

    async def lead(self) -> None:
        """From the first preparation to the end of the run. Raises nothing but CancelledError."""
        try:
            for device in self._members:
                self._start(self._attend(device))
                if device != self._leader:
                    self._start(self._watch_absence(device))
            while not isinstance(self._life, life.Ended):
                event = await self._inbox.get()
                self._life, actions = rounds.transition(self._life, event, self._ledger, self._figures.pace(_now()))
                for action in actions:
                    await self._perform(action)
        except Exception:
            _log.exception("leading %s failed", self.spec.run)
            why = Sentence("an error in the leader's agent; its log says more")
            await self._end(life.End(roster=tuple(self._roster), cause="failed", why=why))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def ask_stop(self) -> None:
        """Stop after the round that is under way."""
        self._inbox.put_nowait(life.StopAsked())

    def give_up(self, why: Sentence) -> None:
        """End the run as failed, in good order: the agent is shutting down."""
        self._inbox.put_nowait(life.Lost(device=self._leader, why=why))

    # -- actions -------------------------------------------------------------------------------------------------------

    async def _perform(self, action: life.Action) -> None:
        match action:
            case life.FormGroup():
                await self._form_group(action)
            case life.OpenRound():
                self._open_round(action)
            case life.Commit():
                self._commit_round(action)
            case life.Record():
                self._record(action)
            case life.Drop():
                self._drop(action)
            case life.End():
                await self._end(action)

    async def _form_group(self, action: life.FormGroup) -> None:
        await self._stores.open(self.spec.run, action.term)  # ends the meeting of the term before
        request = m.FormGroup(
            run=self.spec.run,
            term=action.term,
            roster=tuple(self._roster[device] for device in action.roster),
            step=action.step,
        )

        async def join(device: DeviceId) -> life.RunEvent:
            await self._members[device].join_group(request)
            return life.Grouped(device=device, term=action.term)

        self._ask_all(action.roster, action.term, join)

    def _open_round(self, action: life.OpenRound) -> None:
        self.audience.publish(self._figures.open_round(action, _now()))
        request = m.TrainRound(
            run=self.spec.run,
            term=action.term,
            round=action.round,
            first_step=action.step,
            num_steps=action.num_steps,
            shares=self._figures.shares,
            evaluate=action.is_evaluated,
        )

        async def train(device: DeviceId) -> life.RunEvent:
            result = await self._members[device].train(request)
            return life.Trained(device=device, term=action.term, result=result)

        self._ask_all(action.roster, action.term, train)

    def _commit_round(self, action: life.Commit) -> None:
        committed = self._committed = self._figures.commit_round(action, _now())
        self._checkpoint = None
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

        async def commit(device: DeviceId) -> life.RunEvent:
            answer = await self._members[device].commit(request)
            if committed is self._committed:  # a dropped member may answer when the next round is being committed
                self._checkpoint = answer.checkpoint or self._checkpoint
            return life.Committed(device=device, round=action.round)

        self._ask_all(action.roster, action.term, commit)

    def _record(self, action: life.Record) -> None:
        """Every member that is left has committed."""
        if self._committed:
            self.audience.publish(self._committed)
        if self._checkpoint:
            names = tuple(self._roster[device].name for device in action.roster)
            self.audience.publish(self._figures.save_checkpoint(self._checkpoint, names, _now()))

    def _drop(self, action: life.Drop) -> None:
        """The device may be gone, and cannot hear that it was dropped."""
        name = self._roster[action.device].name
        self.audience.publish(m.MemberLost(run=self.spec.run, name=name, why=action.why))
        if action.device != self._leader:
            request = m.DismissMember(run=self.spec.run, state="failed", error=action.why)
            self._start(self._dismiss(action.device, request))

    async def _end(self, action: life.End) -> None:
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
        await asyncio.gather(*(self._dismiss(device, request) for device in action.roster), return_exceptions=True)

    async def _dismiss(self, device: DeviceId, request: m.DismissMember) -> None:
        try:
            await self._members[device].dismiss(request)
        except CellmindError as error:
            _log.debug("%s cannot be dismissed: %s", self._roster[device].name, error)

    # -- members -------------------------------------------------------------------------------------------------------

    async def _attend(self, device: DeviceId) -> None:
        """One member's stream, from its preparation to its end."""
        why = Sentence("it left")
        try:
            async for event in self._members[device].prepare(m.PrepareMember(spec=self.spec)):
                match event:
                    case m.MemberReady():
                        name, kind = self._roster[device].name, event.device_kind
                        joined = m.MemberJoined(run=self.spec.run, name=name, device_kind=kind, tuning=event.tuning)
                        self.audience.publish(joined)
                        self._inbox.put_nowait(life.Ready(device=device))
                    case m.MemberProgressed():
                        self._note_progress(device, event)
                    case m.MemberFailed():
                        why = event.why
        except CellmindError as error:
            why = error.message
        self._lose(device, why)

    async def _watch_absence(self, device: DeviceId) -> None:
        """A frozen or sleeping device reports nothing: it is lost by its silence."""
        await self._peers.until_absent(device)
        self._lose(device, Sentence("it fell silent"))

    def _ask_all(
        self, roster: tuple[DeviceId, ...], term: int, ask: Callable[[DeviceId], Awaitable[life.RunEvent]]
    ) -> None:
        """Ask each device; `term` is that of the process group which they need for the answer."""

        async def ask_one(device: DeviceId) -> None:
            try:
                self._inbox.put_nowait(await ask(device))
            except GroupBrokenError as error:
                await asyncio.sleep(BLAME_GRACE_SECONDS)  # the link or the silence of a lost member names the cause
                self._inbox.put_nowait(life.Broken(term=term, why=error.message))
            except CellmindError as error:
                self._lose(device, error.message)

        for device in roster:
            self._start(ask_one(device))

    def _lose(self, device: DeviceId, why: Sentence) -> None:
        left = Sentence("{name} left the run: {why}", name=self._roster[device].name, why=why)
        self._inbox.put_nowait(life.Lost(device=device, why=left))

    def _note_progress(self, device: DeviceId, progress: m.MemberProgressed) -> None:
        self._figures.note_progress(device, progress)
        is_due = _now() - self._reported_at >= PROGRESS_SECONDS
        if device == self._leader and is_due and isinstance(self._life, life.Training):
            self._reported_at = _now()
            self.audience.publish(self._figures.progressed(self._life.standing.round, progress, _now()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()
