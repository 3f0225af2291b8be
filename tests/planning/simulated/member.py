"""A simulated member: the conditions and the order of `runs/member`, `runs/taking_part` and `runs/succession`."""

from __future__ import annotations

from dataclasses import replace

from cellmind_agent.planning.ledger import first_view
from cellmind_agent.planning.succession import term_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    NotAllowedError,
    StorageFullError,
    SupersededError,
    UnknownNameError,
)
from model.line.sentence import Sentence
from tests.planning.simulated.device import Device, Work
from tests.planning.simulated.member_rounds import Rounds
from tests.planning.simulated.part import Part
from tests.planning.simulated.records import checkpoint_of
from tests.planning.simulated.succession import Succession
from tests.planning.simulated.trainer import FRESH, Meeting, Operation, Trainer
from tests.planning.simulated.wires import Call


class Member(Rounds):
    """This device as a member of the run."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._succession = Succession(device)
        self.part: Part | None = None

    def serve(self, call: Call) -> Work[None]:
        """Answer a request of a leader. Raises CellmindError."""
        device = self._device
        match call.request:
            case m.PrepareMember():
                yield from self._prepare(call)
            case m.FormGroup():
                device.answer(call, (yield from self._form_group(call)))
            case m.TrainRound():
                device.answer(call, (yield from self._train_round(call)))
            case m.DealSteps():
                device.answer(call, (yield from self._take_steps(call)))
            case m.CallBackSteps():
                device.answer(call, self._call_back(call))
            case m.AverageRound():
                device.answer(call, (yield from self._average(call)))
            case m.CommitRound():
                device.answer(call, self._commit_round(call))
            case m.QuestionMember():
                self._own_trainer(call)
                device.answer(call, m.Done())
            case m.ReplaceLeader():
                part = self._own_part(call)
                part.leader, part.expected_leader, part.has_leader_left = None, call.request.leader, True
                device.answer(call, m.Done())
            case m.DismissMember():
                part = self._own_part(call)
                part.is_dismissed = True
                self._update(part, state=call.request.state, error=call.request.error)
                yield lambda: part.is_over
                device.answer(call, m.Done())

    # -- what the leader asks ------------------------------------------------------------------------------------------

    def _prepare(self, call: Call) -> Work[None]:
        part, term = self._follow(call), call.request.term
        try:
            yield from self._report(call, part, term)
        except GeneratorExit:  # the asker leads no longer, or does without this device
            if part.leader == term.leader:
                part.leader = None
            raise

    def _report(self, call: Call, part: Part, term: m.Term) -> Work[None]:
        yield lambda: part.is_ready or part.is_over or part.term != term
        token = yield from self._take_turn(part)
        try:
            self._check_followed(part, term)
            if part.is_ready:
                self._cell.checks.check_claim(self._device, part)
                ready = m.MemberReady(
                    device_kind="cpu", held_states=part.held_states, last=part.last, term=part.newest_term
                )
                self._device.answer(call, ready)
        finally:
            part.turn.remove(token)
        yield lambda: part.is_over or part.is_dismissed or part.leader != term.leader
        if part.is_over and not part.is_dismissed:
            self._device.answer(call, m.MemberFailed(why=Sentence("the trainer has ended")))
        elif not part.is_dismissed:
            self._check_followed(part, term)

    def _commit_round(self, call: Call) -> m.MemberCommitted:
        (part, trainer), request = self._own_trainer(call), call.request
        last, checkpoint = request.last, None
        if self._device.disk.is_full:
            raise StorageFullError("the disk is full")
        self._cell.checks.check_commit(self._device, trainer, request)
        if request.checkpoint:
            checkpoint = checkpoint_of(last, self._cell.now)
            self._device.disk.models = [*self._device.disk.models, checkpoint][-2:]
        if part.leader != self._device.id:
            for event in (*request.joined, *request.lost):
                self._cell.write(self._device, event)
        self._cell.write(self._device, request.event)
        part.last = last
        names = tuple(member.name for member in last.roster)
        self._update(
            part, step=last.step, tokens=last.tokens, leader=last.term.leader, term=last.term.number, roster=names
        )
        return m.MemberCommitted(checkpoint=checkpoint)

    def set_aside(self, states: list[str]) -> Work[None]:
        """As `TakingPart.set_aside`; the state is added to `states`."""
        part = self.part
        if part is None or part.trainer is None or part.last is None:
            return
        last, trainer = part.last, part.trainer
        part.leave_group(self._device.id)
        token = yield from self._take_turn(part)
        try:
            if last.state_hash not in part.held_states:
                return
            alone = Meeting(self._device.id, 0, (self._device.id,))
            yield from self._trainer_answer(trainer.ask(Operation("alone", alone, last.step, last.state_hash, True)))
            part.present_state, part.kept_state = last.state_hash, None
            states.append(last.state_hash)
        finally:
            part.turn.remove(token)

    # -- whom this device follows --------------------------------------------------------------------------------------

    def _follow(self, call: Call) -> Part:
        part, request, term = self.part, call.request, call.request.term
        if part is None:
            disk = self._device.disk
            if disk.view and disk.view.state == "finished":
                raise NotAllowedError("the run has finished here")
            view = first_view(request.spec, request.roster, request.start, term)
            part = self.part = Part(
                start=request.start, view=view, term=term, roster=request.roster, leader=term.leader, link=call.link,
                last=request.last, newest_term=disk.view.term if disk.view else 0,
            )  # fmt: skip
            self._device.start(self._take_part(part))
            return part
        if part.is_dismissed or part.is_over:
            raise BusyError("this device is just leaving the run")
        is_expected = part.leader is None and part.expected_leader == term.leader
        is_back = part.leader is None and term == part.term
        if not (is_expected or is_back) and term_order(term) <= term_order(part.term):
            raise SupersededError("term {term} is over", term=term.number)
        if part.leader not in (None, term.leader) and self._succession.is_present(part.leader):
            raise SupersededError("{name} still leads", name=part.leader[0] if part.leader else "")
        how = "expected" if is_expected else "back" if is_back else "claim"
        self._cell.checks.note_term(self._device, part, term, how)
        part.term, part.leader, part.link, part.expected_leader = term, term.leader, call.link, None
        part.has_leader_left = False
        part.roster = request.roster
        self._update(part, leader=term.leader, term=term.number)
        part.leave_group(self._device.id)
        return part

    def _take_part(self, part: Part) -> Work[None]:
        """From the start of the trainer to its end."""
        cell, device = self._cell, self._device
        self._update(part)
        has_started = device.timer("start the trainer", lambda: cell.now + 0.1)
        leaderless: list[bool] = []
        watch = device.start(self._succession.until_leaderless(part, leaderless))
        yield lambda: has_started.has_fired or bool(leaderless) or part.is_dismissed
        device.forget(has_started)
        if has_started.has_fired:
            state, step = (part.start.state_hash, part.start.step) if part.start else (FRESH, 0)
            part.trainer = trainer = Trainer(device.id, cell.states, state, step)
            part.is_ready, part.start_state, part.present_state = True, state, state
            self._update(part, state="training")
            yield lambda: trainer.is_dead or bool(leaderless) or part.is_dismissed
            trainer.die("the trainer was ended")
        watch.cancel()
        if not part.is_dismissed:
            self._update(part, state="failed", error=Sentence("the run was cut off"))
        part.is_over, self.part = True, None

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _check_followed(self, part: Part, term: m.Term) -> None:
        if part.leader != term.leader:
            raise SupersededError("this device does not follow that leader any more")

    def _own_part(self, call: Call) -> Part:
        part = self.part
        if part is None:
            raise UnknownNameError("this device takes no part in the run")
        if call.asker != part.leader:
            raise SupersededError("only the leader of a run may direct it")
        self._cell.checks.note_obeyed(self._device, part, call)
        return part

    def _own_trainer(self, call: Call) -> tuple[Part, Trainer]:
        part = self._own_part(call)
        if part.trainer is None or part.is_over:
            raise UnknownNameError("the trainer does not run here")
        return part, part.trainer

    def _update(self, part: Part, **changes: object) -> None:
        part.view = replace(part.view, **changes)  # type: ignore[arg-type]
        if not self._device.disk.is_full:
            self._device.disk.view, self._device.disk.last = part.view, part.last
