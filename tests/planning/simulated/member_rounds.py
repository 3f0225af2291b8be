"""What a simulated member does in the rounds: the conditions and the order of `runs/member_rounds`."""

from __future__ import annotations

from dataclasses import replace

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import GroupBrokenError
from tests.planning.simulated.device import Device, Work
from tests.planning.simulated.part import Part
from tests.planning.simulated.records import started, tokens
from tests.planning.simulated.trainer import Meeting, Operation, Trainer
from tests.planning.simulated.wires import Call


class Rounds:
    """The part of a member that needs its trainer."""

    def __init__(self, device: Device) -> None:
        self._device, self._cell = device, device.cell

    def _form_group(self, call: Call) -> Work[m.Done]:
        (part, trainer), request = self._own_trainer(call), call.request
        part.newest_term = max(part.newest_term, request.term)
        if not request.keeps_steps or part.taking is None:
            part.leave_group(self._device.id)
        token = yield from self._take_turn(part)
        try:
            # This device may follow another leader by now.
            self._check_followed(part, m.Term(number=request.term, leader=call.asker))
            if request.term < part.newest_term or request.term <= part.term.number:
                raise GroupBrokenError("term {term} is over", term=request.term)
            part.roster = request.roster
            devices = [member.device for member in request.roster]
            holders = {devices[rank] for rank in request.holders}
            part.group = meeting = self._cell.meeting(call.asker, request.term)
            self._cell.checks.note_term(self._device, part, replace(part.term, number=request.term), "group")
            part.term = replace(part.term, number=request.term)
            is_holder = self._device.id in holders
            if request.keeps_steps:
                if part.present_state != request.state_hash:
                    part.present_state = None
            else:
                part.present_state, part.kept_state = (request.state_hash if is_holder else None), None
            operation = Operation(
                "join", meeting, request.step, request.state_hash, is_holder, keeps_steps=request.keeps_steps
            )
            yield from self._trainer_answer(trainer.ask(operation))
            if not request.keeps_steps:
                part.present_state = request.state_hash
            if request.last and part.last != request.last:
                part.last = request.last
                self._update(part, step=request.step)
        finally:
            part.turn.remove(token)
        return m.Done()

    def _train_round(self, call: Call) -> Work[m.RoundTrained]:
        (part, trainer), request = self._own_trainer(call), call.request
        token = yield from self._take_turn(part)
        try:
            group = self._group(part, request.term)
            if part.leader != self._device.id:
                self._cell.write(self._device, started(request.round, request.first_step, request.num_steps))
            # Alone the trainer keeps nothing.
            part.kept_state = part.present_state if len(group.roster) > 1 else None
            part.present_state = None
            steps = request.num_steps
            operation = Operation("train", group, request.first_step, num_steps=steps, number=request.round)
            state = yield from self._trainer_answer(trainer.ask(operation))
            part.present_state = state
        finally:
            part.turn.remove(token)
        return m.RoundTrained(state_hash=state, tokens=tokens(request.first_step + steps), loss=None)

    def _take_steps(self, call: Call) -> Work[m.StepsDone]:
        (part, trainer), request = self._own_trainer(call), call.request
        token = yield from self._take_turn(part)
        try:
            group = self._group(part, request.term)
            if part.present_state is not None:
                if part.leader != self._device.id:
                    self._cell.write(self._device, started(request.round, request.round_step, request.num_steps))
                part.kept_state, part.present_state = part.present_state, None
            count = request.stop - request.first_step
            operation = Operation(
                "take", group, request.round_step, num_steps=count, number=request.round, first_step=request.first_step
            )
            part.taking = operation
            try:
                yield from self._trainer_answer(trainer.ask(operation))
            finally:
                part.taking = None
        finally:
            part.turn.remove(token)
        return m.StepsDone(count=operation.num_steps, tokens=100 * operation.num_steps)

    def _call_back(self, call: Call) -> m.Done:
        """The trainer is in the middle of what it was dealt."""
        (part, _), request = self._own_trainer(call), call.request
        if part.taking and part.taking.first_step == request.first_step:
            part.taking.num_steps = max(0 if request.at_once else 1, part.taking.num_steps // 2)
        return m.Done()

    def _average(self, call: Call) -> Work[m.RoundTrained]:
        (part, trainer), request = self._own_trainer(call), call.request
        token = yield from self._take_turn(part)
        try:
            group = self._group(part, request.term)
            if part.present_state is not None:
                part.kept_state, part.present_state = part.present_state, None
            steps = request.num_steps
            operation = Operation("average", group, request.round_step, num_steps=steps, number=request.round)
            state = yield from self._trainer_answer(trainer.ask(operation))
            part.present_state = state
        finally:
            part.turn.remove(token)
        return m.RoundTrained(state_hash=state, tokens=tokens(request.round_step + steps), loss=None)

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _group(self, part: Part, term: int) -> Meeting:
        if part.group is None or part.group.term != term:
            raise GroupBrokenError("term {term} is over", term=term)
        return part.group

    def _own_trainer(self, call: Call) -> tuple[Part, Trainer]:
        raise NotImplementedError

    def _take_turn(self, part: Part) -> Work[object]:
        token = object()
        part.turn.append(token)
        try:
            yield lambda: part.turn[0] is token
        except GeneratorExit:
            part.turn.remove(token)
            raise
        return token

    def _trainer_answer(self, operation: Operation) -> Work[str]:
        yield lambda: operation.is_done
        if operation.error:
            raise operation.error
        return operation.answer
