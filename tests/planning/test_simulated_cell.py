"""A cell whose devices are lost, cut off, asleep, wrong and back again, in any order: no round counts twice, no two
leaders share a term, and the run always goes on or ends.

The product decides; links, clocks, disks and trainers are simulated (`tests/planning/simulated/`).
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from cellmind_agent.planning.run_life import Grouping, StopAsked
from cellmind_agent.protocol import messages as m
from tests.planning.simulated.cell import SimulatedCell
from tests.planning.simulated.device import Device
from tests.planning.simulated.proof import check_history

NUMBER = st.integers(0, 4)
MOST_EVENTS = 6000  # a run of five devices without faults takes about 1000


def crash(cell: SimulatedCell, device: Device) -> None:
    device.crash()


def restart(cell: SimulatedCell, device: Device) -> None:
    device.is_up = True


def freeze(cell: SimulatedCell, device: Device) -> None:
    device.is_frozen = device.is_up


def wake(cell: SimulatedCell, device: Device) -> None:
    device.is_frozen = False


def fill_disk(cell: SimulatedCell, device: Device) -> None:
    """Until the end nothing can be written there."""
    device.disk.is_full = True


def break_group(cell: SimulatedCell, device: Device) -> None:
    """The process group fails at one device, and nobody is lost."""
    operation = cell.operation(device)
    if operation and len(operation.meeting.roster) > 1:
        cell.fail(device)


def flip_bit(cell: SimulatedCell, device: Device) -> None:
    """A device that trains in a group computes other weights than all others."""
    operation = cell.operation(device)
    if operation and len(operation.meeting.roster) > 1:
        cell.trainer(device).flaw = f"of {device.name} at {cell.now}"


def stop(cell: SimulatedCell, device: Device) -> None:
    if device.leading and not device.leading.is_over:
        device.leading.inbox.append(StopAsked())


TROUBLES = {do.__name__: do for do in (crash, restart, freeze, wake, fill_disk, break_group, flip_bit)}
HARMLESS = ("restart", "freeze", "wake")  # for a run: it must finish
WISHES = {"stop": stop, "shut down": SimulatedCell.shut_down, "resume": SimulatedCell.resume}


class CellMachine(RuleBasedStateMachine):
    """Numbers choose among what is possible: a device, or an event that could happen next."""

    cell: SimulatedCell
    is_whole = True  # no device has lost its memory, and nobody has ended the run

    @initialize(
        num_devices=st.integers(2, 5),
        num_members=st.integers(1, 5),
        ahead=st.integers(0, 150),
        mode=st.sampled_from(("ddp", "local")),
    )
    def begin(self, num_devices: int, num_members: int, ahead: int, mode: m.RunMode = "ddp") -> None:
        """Some devices begin, and the others are recruited. `ahead`: the run is some events old."""
        self.cell = SimulatedCell(num_devices, mode)
        ids = list(self.cell.devices)
        self.cell.start(self.cell.devices[ids[0]], ids[: min(num_members, num_devices)])
        self.cell.settle()
        self.go_on(ahead)

    def device(self, number: int) -> Device:
        return list(self.cell.devices.values())[number % len(self.cell.devices)]

    # -- what happens in time ------------------------------------------------------------------------------------------

    @rule(choices=st.lists(st.integers(0, 9), min_size=1, max_size=30))
    def deliver(self, choices: list[int]) -> None:
        """Messages arrive, and trainers are done, in any order."""
        for number in choices:
            events = self.cell.events()
            if events:
                self.cell.happen(events[number % len(events)])

    @rule(count=st.integers(1, 40))
    def go_on(self, count: int) -> None:
        """So many things happen one after the other."""
        self.cell.drain(count)

    @rule(number=st.integers(0, 9))
    def wait(self, number: int) -> None:
        """Some time is over, before what should take less of it has happened."""
        timed = self.cell.timed()
        if timed:
            self.cell.happen(timed[number % len(timed)])

    # -- what goes wrong, and what people do ---------------------------------------------------------------------------

    @rule(trouble=st.sampled_from(list(TROUBLES)), number=NUMBER, after=st.integers(0, 25))
    def suffer(self, trouble: str, number: int, after: int = 0) -> None:
        self.cell.drain(after)
        self.is_whole = self.is_whole and trouble in HARMLESS
        TROUBLES[trouble](self.cell, self.device(number))
        self.cell.settle()

    @rule(part=st.sets(NUMBER))
    def cut(self, part: set[int]) -> None:
        """The cell is cut in two; or it is whole again, if one part is empty."""
        self.cell.cut_off = frozenset(self.device(number).id for number in part)

    @rule(wish=st.sampled_from(list(WISHES)), number=NUMBER)
    def wish(self, wish: str, number: int) -> None:
        if self.device(number).is_awake:
            self.is_whole = False
            WISHES[wish](self.cell, self.device(number))
            self.cell.settle()

    # -- the end -------------------------------------------------------------------------------------------------------

    def end(self, otherwise: str) -> None:
        """All that is still to happen, with all devices; those that are about to shut down start again."""
        for _ in range(2):
            for device in self.cell.devices.values():
                device.is_up, device.is_frozen, device.disk.is_full = True, False, False
            self.cell.settle()
            assert self.cell.drain(MOST_EVENTS), otherwise

    def teardown(self) -> None:
        """All devices are up and reach each other: the run goes on to an end, and the history is exact.

        After a failed check a leader's task is gone, and the run cannot end: that would only hide what was wrong.
        """
        if not hasattr(self, "cell") or not self.cell.is_settled:
            return
        self.cell.cut_off = frozenset()
        self.end("the run neither goes on nor ends")
        for device in self.cell.devices.values():
            if self.cell.resume(device):
                self.end("the resumed run neither goes on nor ends")
        check_history(self.cell)
        views = [device.disk.view for device in self.cell.devices.values()]
        assert not self.is_whole or any(view and view.state == "finished" for view in views), self.cell.checks.ends


def play(max_examples: int, *, is_random: bool) -> None:
    run_state_machine_as_test(
        CellMachine,
        settings=settings(
            max_examples=max_examples, stateful_step_count=30, deadline=None, derandomize=not is_random,
            database=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_a_member_that_could_not_commit_a_round_comes_back_before_the_round_counts() -> None:
    """Found by many random examples. The round counts for those that committed it, and b receives its state."""
    machine = CellMachine()
    machine.begin(num_devices=4, num_members=2, ahead=69)
    machine.suffer(after=8, number=1, trouble="fill_disk")  # all have trained a round
    machine.deliver(choices=[0] * 7)  # b cannot write it down, and is dropped
    machine.go_on(count=1)
    machine.deliver(choices=[0] * 5)  # b is asked to join again, and c commits
    machine.wait(number=0)
    machine.go_on(count=4)  # b is ready, and then d commits too
    a, b = machine.device(0), machine.device(1)
    assert a.leading
    assert isinstance(a.leading.life, Grouping)
    assert b.id in a.leading.roster
    assert len(committed_rounds(a)) == len(committed_rounds(b)) + 1
    machine.teardown()


def committed_rounds(device: Device) -> list[m.RoundCommitted]:
    return [noted.event for noted in device.disk.log if isinstance(noted.event, m.RoundCommitted)]


def test_a_failed_check_is_not_hidden_by_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis calls `teardown` after an error too, and reports the last error."""

    def fail(*_: object) -> None:
        raise AssertionError("it is wrong")

    machine = CellMachine()
    machine.begin(num_devices=2, num_members=2, ahead=20)
    monkeypatch.setattr(machine.cell.checks, "note_transition", fail)
    with pytest.raises(AssertionError, match="it is wrong"):
        machine.go_on(count=40)
    machine.teardown()


def test_whatever_happens_to_the_devices_a_run_stays_exact() -> None:
    play(200, is_random=False)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_whatever_happens_to_the_devices_a_run_stays_exact_many_times() -> None:
    play(10_000, is_random=True)
