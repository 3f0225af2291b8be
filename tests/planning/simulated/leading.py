"""A simulated leader: `planning/rounds` decides, and this acts in the order of `runs/leader`."""

from __future__ import annotations

from functools import partial

from cellmind_agent.planning import rounds
from cellmind_agent.planning import run_actions as act
from cellmind_agent.planning import run_life as life
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.succession import lineage_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.limits import ALONE_SECONDS
from cellmind_agent.runs.attendance import Leadership
from tests.planning.simulated.attending import Attending, Stay
from tests.planning.simulated.device import Device, Work
from tests.planning.simulated.trainer import Meeting


class Leading(Attending):
    """The run, led by this device."""

    def __init__(self, device: Device, leadership: Leadership, ledger: Ledger) -> None:
        super().__init__(device, leadership, ledger.total_steps)
        self.ledger, self.is_over = ledger, False
        self._asked: tuple[Stay, ...] = ()  # to commit the last round
        self.life: life.RunLife = rounds.begin(
            self._roster, self.term, self._figures.step, self._figures.held_out, self.is_taken_over
        )
        device.start(self._lead())

    @property
    def roster(self) -> tuple[DeviceId, ...]:
        """Of the round."""
        return () if isinstance(self.life, life.Ended) else self.life.standing.roster

    def leads_on(self, other: m.Term, last: m.LastCommit | None) -> bool:
        """As `Leader.leads_on`."""
        term, own_last = self.where
        if lineage_order(own_last, term) > lineage_order(last, other):
            return True
        self._yield_to(other.leader)
        return False

    def _lead(self) -> Work[None]:
        for seat in self._leadership.roster:
            self._start(self._attend(self._admit(seat)))
        self._start(self._recruit())
        while not isinstance(self.life, life.Ended):
            yield lambda: bool(self.inbox)
            event = self.inbox.popleft()
            before = self.life
            pace = self._figures.pace(self.cell.now)
            self.life, actions = rounds.transition(before, event, self.ledger, pace)
            self.cell.checks.note_transition(self, before, event, actions)
            for action in actions:
                yield from self._perform(action)
        for task in self._tasks:
            task.cancel()
        for call in self._calls:
            self.device.leave(call)
        for timer in self._timers:
            self.device.forget(timer)
        self.is_over = True

    # -- actions -------------------------------------------------------------------------------------------------------

    def _perform(self, action: act.Action) -> Work[None]:
        device, run = self.device, self._leadership.spec.run
        match action:
            case act.Adopt():
                self._figures.adopt(action.last)
                self.book.last = action.last
            case act.FormGroup():
                self._form_group(action)
            case act.OpenRound():
                self._open_round(action)
            case act.Deal():
                self._deal(action)
            case act.CallBack():
                request = m.CallBackSteps(
                    run=run, term=action.term, first_step=action.first_step, at_once=action.at_once
                )
                self._start(self._tell([action.device], request))
            case act.LookAgain():
                looked = life.Looked(term=action.term, round=action.round, num_answers=action.num_answers)
                due = self.cell.now + action.seconds
                self._start(self._later("looked again", due, partial(self.inbox.append, looked)))
            case act.Average():
                self._average(action)
            case act.Commit():
                self._commit(action)
            case act.Record():
                event, checkpoint = self.book.close()
                self.cell.checks.note_recorded(self, event, action.roster, self._asked)
                for other in action.roster:
                    self._tries[other] = min(self._tries[other], 1)
                if checkpoint:
                    self._figures.save_checkpoint(checkpoint, (), self.cell.now)
            case act.Question():
                request = m.QuestionMember(run=run, term=action.term)
                self._ask_all(
                    action.roster, action.term, request, lambda d, _: life.Answered(device=d, term=action.term)
                )
            case act.StandBy():
                still_alone, due = life.StillAlone(term=action.term), self.cell.now + ALONE_SECONDS
                self._start(self._later("still alone", due, partial(self.inbox.append, still_alone)))
            case act.Drop():
                self._drop(action)
            case act.HandOver():
                yield from self._hand_over(action)
            case act.End():
                state = action.cause
                self.cell.checks.note_end(state, action.why)
                request = m.DismissMember(run=run, state=state, error=action.why)
                yield from self._tell([stay.device for stay in self.stays.values()], request)
        assert device.is_up

    def _form_group(self, action: act.FormGroup) -> None:
        self.term = self.device.last_own_term = action.term
        self.cell.open_meeting(Meeting(self.device.id, action.term, action.roster))
        request = m.FormGroup(
            run=self._leadership.spec.run, term=action.term, roster=self._seats(action.roster),
            backend=BackendName("portable"), step=action.step, state_hash=action.state_hash,
            holders=tuple(rank for rank, device in enumerate(action.roster) if device in action.holders),
            last=self.book.last, keeps_steps=action.keeps_steps,
        )  # fmt: skip
        self._ask_all(action.roster, action.term, request, lambda d, _: life.Grouped(device=d, term=action.term))

    def _open_round(self, action: act.OpenRound) -> None:
        self.cell.write(self.device, self._figures.open_round(action, self.cell.now))
        if not action.is_together:
            return
        request = m.TrainRound(
            run=self._leadership.spec.run, term=action.term, round=action.round, first_step=action.step,
            num_steps=action.num_steps, shares=self._figures.shares, evaluate=action.is_evaluated,
        )  # fmt: skip

        def trained(device: DeviceId, result: m.RoundTrained) -> life.RunEvent:
            return life.Trained(device=device, term=action.term, result=result)

        self._ask_all(action.roster, action.term, request, trained)

    def _deal(self, action: act.Deal) -> None:
        first_step, stop = action.steps
        request = m.DealSteps(
            run=self._leadership.spec.run, term=action.term, round=action.round, round_step=action.round_step,
            num_steps=action.num_steps, first_step=first_step, stop=stop,
        )  # fmt: skip
        asked_at = self.cell.now

        def took(device: DeviceId, done: m.StepsDone) -> life.RunEvent:
            self._figures.note_taken(device, done.tokens, self.cell.now - asked_at)
            return life.Took(device=device, first_step=first_step, count=done.count)

        self._ask_all((action.device,), action.term, request, took)

    def _average(self, action: act.Average) -> None:
        request = m.AverageRound(
            run=self._leadership.spec.run, term=action.term, round=action.round, round_step=action.step,
            num_steps=action.num_steps, evaluate=action.is_evaluated,
        )  # fmt: skip

        def trained(device: DeviceId, result: m.RoundTrained) -> life.RunEvent:
            return life.Trained(device=device, term=action.term, result=result)

        self._ask_all(action.roster, action.term, request, trained)

    def _commit(self, action: act.Commit) -> None:
        request = self.book.request(action, self._figures, self._seats(action.roster), self.cell.now)
        self._asked = tuple(self.stays[device] for device in action.roster)

        def committed(device: DeviceId, answer: m.MemberCommitted) -> life.RunEvent:
            self.book.note_answer(request, answer)
            return life.Committed(device=device, round=action.round)

        self._ask_all(action.roster, action.term, request, committed)

    def _drop(self, action: act.Drop) -> None:
        stay = self._part_with(action.device)
        lost = m.MemberLost(run=self._leadership.spec.run, name=stay.seat.name, why=action.why)
        self.book.note(lost)
        self.cell.write(self.device, lost)
        if action.device != self.device.id:
            request = m.DismissMember(run=self._leadership.spec.run, state="failed", error=action.why)
            self._start(self._tell([action.device], request))

    def _hand_over(self, action: act.HandOver) -> Work[None]:
        run = self._leadership.spec.run
        if action.leader and action.state_hash:
            try:
                request = m.HasState(run=run, state_hash=action.state_hash)
                if not (yield from self._ask(action.leader, request)).is_known and self.device.member:
                    yield from self.device.member.set_aside(self.device.disk.branches)
            except CellmindError:
                pass
        devices = [device for device in (*action.roster, self.device.id) if device in self.stays]
        yield from self._tell(devices, m.ReplaceLeader(run=run, why=action.why, leader=action.leader))

    def _tell(self, devices: list[DeviceId], request: object) -> Work[None]:
        """Ask all at once, and wait for their answers, but not for long."""
        calls, due = [], self.cell.now + 1.0
        for device in devices:
            try:
                calls.append(self.device.ask(device, request))
            except CellmindError:
                continue
        timer = self.device.timer("tell no longer", lambda: due)
        yield lambda: all(call.is_over for call in calls) or timer.has_fired
        self.device.forget(timer)
        for call in calls:
            self.device.leave(call)
