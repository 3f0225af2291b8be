"""Leading one run: `planning/rounds` decides, this file acts on its decisions and informs the watchers.

1. Every member prepares: it fetches blobs and starts its trainer. Its stream of reports lasts as long as it takes part.
2. The members form a process group, in which rounds are opened and committed on all of them.
3. A lost member, reported by itself, by its link or by its silence, is dropped: the others form another group. Devices
   that come, or come back, prepare beside the others, and join them in the next group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning import rounds
from cellmind_agent.planning import run_actions as act
from cellmind_agent.planning import run_life as life
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.succession import lineage_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import ALONE_SECONDS, FREE_SECONDS, PROGRESS_SECONDS
from cellmind_agent.runs.asking import Asking
from cellmind_agent.runs.attendance import Attendance, Hearing, Leadership
from cellmind_agent.runs.audience import Audience
from cellmind_agent.runs.commit_book import CommitBook
from cellmind_agent.runs.figures import RunFigures
from cellmind_agent.runs.membership import Company, Stay
from cellmind_agent.runs.rendezvous import Stores
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)


class Leader:
    """One run, led by this device."""

    def __init__(
        self,
        leadership: Leadership,
        ledger: Ledger,
        stores: Stores,
        peers: Peers,
        company: Company,
        audience: Audience,
    ) -> None:
        self.spec, self.audience, self._leadership = leadership.spec, audience, leadership
        self._ledger, self._stores, self._company = ledger, stores, company
        self._me = leadership.term.leader
        self._figures = RunFigures(self.spec, leadership.start, ledger.total_steps, _now())
        self._life: life.RunLife = rounds.begin(
            tuple(seat.device for seat in leadership.roster),
            leadership.term.number,
            self._figures.step,
            self._figures.held_out,
            is_taken_over=leadership.taken_over is not None,
        )
        self._term = leadership.term.number  # of the last group
        self._inbox: asyncio.Queue[life.RunEvent] = asyncio.Queue()
        hearing = Hearing(self._inbox.put_nowait, self._note_joined, self._note_progress, self._where)
        self._attendance = Attendance(leadership, peers, company, hearing)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported_at = _now()
        self._book = CommitBook(self.spec, self._me)
        self._asking = Asking(
            self.spec, company, self._figures, self._book, self._inbox.put_nowait, self._attendance.lose, self._start
        )

    async def lead(self) -> None:
        """From the first preparation to the end of the run. Raises nothing but CancelledError."""
        leadership = self._leadership
        try:
            if leadership.taken_over is not None:
                name, why = leadership.roster[0].name, leadership.taken_over
                self.audience.publish(
                    m.LeaderChanged(run=self.spec.run, name=name, leader=self._me, term=self._term, why=why)
                )
            for seat in leadership.roster:
                self._start(self._attendance.attend(self._company.admit(seat)))
            self._start(self._recruit())
            while not isinstance(self._life, life.Ended):
                event = await self._inbox.get()
                self._life, actions = rounds.transition(self._life, event, self._ledger, self._figures.pace(_now()))
                for action in actions:
                    await self._perform(action)
        except Exception:
            _log.exception("leading %s failed", self.spec.run)
            why = Sentence("an error in the leader's agent; its log says more")
            await self._end(act.End(roster=tuple(self._company.devices), cause="failed", why=why))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def ask_stop(self) -> None:
        """Stop after the round that is under way."""
        self._inbox.put_nowait(life.StopAsked())

    def give_up(self, why: Sentence) -> None:
        """Let another member lead on: the agent is shutting down. Without one, the run ends as failed."""
        self._inbox.put_nowait(life.Lost(device=self._me, why=why))

    def is_member(self, device: DeviceId | None) -> bool:
        """Whether the device takes part now."""
        return device in self._company.devices

    def leads_on(self, other: m.Term, last: m.LastCommit | None) -> bool:
        """Whether this leader goes on when it has met another one, and not the other."""
        term, own_last = self._where()
        if lineage_order(own_last, term) > lineage_order(last, other):
            return True
        self._attendance.yield_to(other.leader)
        return False

    # -- actions -------------------------------------------------------------------------------------------------------

    async def _perform(self, action: act.Action) -> None:
        match action:
            case act.Adopt():
                self._figures.adopt(action.last)
                self._book.last = action.last
            case act.FormGroup():
                self._term = action.term
                await self._stores.open(self.spec.run, action.term)  # ends the meeting of the term before
                self._asking.form_group(action)
            case act.OpenRound():
                self.audience.publish(self._figures.open_round(action, _now()))
                if action.is_together:
                    self._asking.train(action)
            case act.Deal():
                self._asking.deal(action)
            case act.CallBack():
                self._asking.call_back(action)
            case act.LookAgain():
                looked = life.Looked(term=action.term, round=action.round, num_answers=action.num_answers)
                asyncio.get_running_loop().call_later(action.seconds, self._inbox.put_nowait, looked)
            case act.Average():
                self._asking.average(action)
            case act.Commit():
                self._asking.commit(action)
            case act.Record():
                self._record(action)
            case act.Question():
                self._asking.question(action)
            case act.StandBy():
                still_alone = life.StillAlone(term=action.term)
                asyncio.get_running_loop().call_later(ALONE_SECONDS, self._inbox.put_nowait, still_alone)
            case act.Drop():
                self._drop(action)
            case act.HandOver():
                await self._hand_over(action)
            case act.End():
                await self._end(action)

    def _record(self, action: act.Record) -> None:
        """Every member that is left has committed."""
        event, checkpoint = self._book.close()
        self.audience.publish(event)
        self._company.note_trained(action.roster)
        if checkpoint:
            names = tuple(seat.name for seat in self._company.seats(action.roster))
            self.audience.publish(self._figures.save_checkpoint(checkpoint, names, _now()))

    def _drop(self, action: act.Drop) -> None:
        """The device may be gone, and cannot hear that it was dropped."""
        stay = self._company.part_with(action.device)
        lost = m.MemberLost(run=self.spec.run, name=stay.seat.name, why=action.why)
        self._book.note(lost)
        self._figures.note_lost()
        self.audience.publish(lost)
        if action.device != self._me:
            request = m.DismissMember(run=self.spec.run, state="failed", error=action.why)
            self._start(self._dismiss(stay, request))

    async def _hand_over(self, action: act.HandOver) -> None:
        """The others first: they wait for nothing else."""
        run, self._company.is_closed = self.spec.run, True
        if action.leader:
            await self._company.keep_branch_aside(action.leader, action.state_hash)
        stays = [self._company.stay(device) for device in (*action.roster, self._me)]
        request = m.ReplaceLeader(run=run, why=action.why, leader=action.leader)
        replacing = (stay.member.replace_leader(request) for stay in stays if stay)
        for result in await asyncio.gather(*replacing, return_exceptions=True):
            if isinstance(result, BaseException):
                _log.debug("a member of %s does not hear that its leader leaves: %s", run, result)
        self.audience.leave()

    async def _end(self, action: act.End) -> None:
        """Inform the watchers when the members are free for another run, since people may start one at once; but a lost
        member does not keep them waiting."""
        run, self._company.is_closed, ended_at = self.spec.run, True, _now()
        request = m.DismissMember(run=run, state=action.cause, error=action.why)
        stays = [stay for device in self._company.devices if (stay := self._company.stay(device))]
        dismissing = [asyncio.create_task(self._dismiss(stay, request)) for stay in stays]
        if dismissing:
            await asyncio.wait(dismissing, timeout=FREE_SECONDS)
        if action.cause == "failed":
            hint = Sentence("cellmindctl resume {run} continues from the last checkpoint", run=run)
            if not self._figures.has_checkpoint:
                hint = Sentence("there was no checkpoint yet: start again with cellmindctl train")
            self.audience.publish(m.RunFailed(run=run, why=action.why or Sentence("unknown"), hint=hint))
        else:
            self.audience.publish(self._figures.finished(action.cause == "stopped", action.is_early, ended_at))
        await asyncio.gather(*dismissing, return_exceptions=True)

    async def _dismiss(self, stay: Stay, request: m.DismissMember) -> None:
        try:
            await stay.member.dismiss(request)
        except CellmindError as error:
            _log.debug("%s cannot be dismissed: %s", stay.seat.name, error)

    # -- members -------------------------------------------------------------------------------------------------------

    async def _recruit(self) -> None:
        """Bring in the devices that come, or come back."""
        async for seat in self._company.recruits():
            self._start(self._attendance.attend(self._company.admit(seat)))

    def _where(self) -> tuple[m.Term, m.LastCommit | None]:
        return m.Term(number=self._term, leader=self._me), self._book.last

    def _note_joined(self, seat: m.RosterMember, ready: m.MemberReady) -> None:
        self._figures.seat(seat)
        joined = m.MemberJoined(run=self.spec.run, name=seat.name, device_kind=ready.device_kind, tuning=ready.tuning)
        self._book.note(joined)
        self.audience.publish(joined)

    def _note_progress(self, device: DeviceId, progress: m.MemberProgressed) -> None:
        self._figures.note_progress(device, progress)
        is_due = _now() - self._reported_at >= PROGRESS_SECONDS
        # In a local round any member's report says something new.
        is_due = is_due and (device == self._me or isinstance(self._life, life.Dealing))
        if is_due and isinstance(self._life, life.Training | life.Dealing):
            self._reported_at = _now()
            self.audience.publish(self._figures.progressed(self._life.standing, progress, _now()))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now() -> float:
    return asyncio.get_running_loop().time()
