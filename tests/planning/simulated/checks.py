"""What must hold whatever happens in a simulated cell. The checks know the truth, and not only the messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cellmind_agent.planning import run_actions as act
from cellmind_agent.planning import run_life as life
from cellmind_agent.planning.succession import term_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId

if TYPE_CHECKING:
    from tests.planning.simulated.attending import Stay
    from tests.planning.simulated.device import Device
    from tests.planning.simulated.leading import Leading
    from tests.planning.simulated.part import Part
    from tests.planning.simulated.trainer import Trainer
    from tests.planning.simulated.wires import Call


class Checks:
    """Raises AssertionError at the first thing that is wrong."""

    def __init__(self) -> None:
        self._leaders: dict[tuple[int, DeviceId], Leading] = {}
        self._committers: dict[tuple[int, DeviceId], Leading] = {}
        self._commits: dict[tuple[int, DeviceId, int], tuple[str, int, int]] = {}
        self._steps: dict[Leading, int] = {}  # that the leader has decided to count
        self._open: dict[Leading, int] = {}  # the round under way
        self._causes: dict[Leading, int] = {}  # of doing it again
        self.ends: list[tuple[str, str]] = []

    # -- members -------------------------------------------------------------------------------------------------------

    def check_claim(self, device: Device, part: Part) -> None:
        """A member names only states to which its trainer can go back."""
        assert part.trainer
        held = part.trainer.held.values()
        assert set(part.held_states) <= set(held), f"{device.name} claims a state that it does not hold"

    def note_term(self, device: Device, part: Part, term: m.Term, how: str) -> None:
        """The followed terms go up (I1). Only the own leader may send this device to a leader of a lower term: it gives
        the lineage of its part of the cell up. A device that slept comes back to its leader in the same term."""
        order, before = term_order(term), term_order(part.term)
        assert order > before or how == "expected" or (how in ("group", "back") and order == before), (
            f"{device.name} goes from term {part.term} back to {term}"
        )

    def note_obeyed(self, device: Device, part: Part, call: Call) -> None:
        """A member obeys only the leader of the term that it follows (I1)."""
        assert call.asker == part.leader == part.term.leader, f"{device.name} obeys {call.asker[0]} in {part.term}"
        if isinstance(call.request, m.CommitRound):
            assert call.request.last.term == part.term, f"{device.name} commits {call.request.last} in {part.term}"

    def check_commit(self, device: Device, trainer: Trainer, request: m.CommitRound) -> None:
        """Whoever commits a round holds its result, the same as all others (I3)."""
        last, event = request.last, request.event
        assert (trainer.state, trainer.step) == (last.state_hash, last.step), f"{device.name} commits what it lacks"
        assert (event.state_hash, event.step, event.term) == (last.state_hash, last.step, last.term.number)
        leader = self._committers.setdefault(
            (last.term.number, last.term.leader), self._leaders[last.term.number, last.term.leader]
        )
        assert leader is self._leaders[last.term.number, last.term.leader], f"two leaderships commit in {last.term}"
        what = last.state_hash, event.first_step, event.step
        assert self._commits.setdefault((last.term.number, last.term.leader, last.round), what) == what

    # -- leaders -------------------------------------------------------------------------------------------------------

    def note_transition(
        self, leading: Leading, before: life.RunLife, event: life.RunEvent, actions: Iterable[act.Action]
    ) -> None:
        """No committed step is given up, and no round is done again without a cause."""
        if isinstance(event, life.Lost | life.Broken):
            self._causes[leading] = self._causes.get(leading, 0) + 1
        for action in actions:
            match action:
                case act.Adopt():
                    self._steps[leading] = action.last.step
                case act.FormGroup():
                    self._note_group(leading, before, action)
                    if isinstance(before, life.Training) and isinstance(event, life.Trained):
                        self._causes[leading] = 1  # the weights differ, and no majority agrees
                case act.OpenRound():
                    if self._open.get(leading) == action.round:
                        assert self._causes.get(leading), f"round {action.round} is done again without a cause"
                    self._open[leading], self._causes[leading] = action.round, 0
                case act.Commit():
                    self._steps[leading] = action.step

    def _note_group(self, leading: Leading, before: life.RunLife, action: act.FormGroup) -> None:
        term = action.term, leading.device.id
        before_it = self._leaders.get(term, leading)
        assert before_it is leading or before_it.cell.has_ended(before_it), f"two leaders in term {term}"
        self._leaders[term] = leading
        assert action.step == self._steps.setdefault(leading, action.step), "a committed round is done again"
        if isinstance(before, life.Preparing):
            self._check_settled(leading, before, action)

    def _check_settled(self, leading: Leading, before: life.Preparing, action: act.FormGroup) -> None:
        """A new leader goes on from the newest commit that any of its members knows and any of them still holds."""
        held = {state for one in before.ready.values() for state in one.held_states}
        for device in action.roster:
            member = leading.cell.devices[device].member
            part = member.part if member else None
            if part is None or part.trainer is None or part.leader != leading.device.id:
                continue
            held |= set(part.held_states)
        for device in action.roster:
            member = leading.cell.devices[device].member
            last = member.part.last if member and member.part else None
            if last and last.state_hash in held and leading.is_taken_over:
                assert last.step <= action.step, f"{device[0]} knows step {last.step}, and the leader {action.step}"

    def note_recorded(
        self, leading: Leading, event: m.RoundCommitted, roster: tuple[DeviceId, ...], asked: Iterable[Stay]
    ) -> None:
        """A round counts for each member that was asked to commit it and was not dropped: each has it on its disk.

        One that was dropped may be back by now: in another stay, and without the round. The next group sends the state.
        """
        left = {stay.device for stay in asked if leading.stays.get(stay.device) is stay}
        assert left == set(roster), f"{event} counts for {roster}, and {left} are left"
        for device in (leading.cell.devices[one] for one in roster):
            assert any(noted.event == event for noted in device.disk.log), f"{device.name} lacks {event}"

    def note_end(self, state: str, why: object) -> None:
        self.ends.append((state, str(why)))
