"""What the line below the live view says while members and leaders come and go."""

from collections.abc import Sequence

import pytest

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_ctl.attendance import Attendance
from model.line.sentence import Sentence

RUN = RunId("run-1")


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "en")


def started(round_number: int, step: int) -> m.RoundStarted:
    return m.RoundStarted(run=RUN, round=round_number, step=step, num_steps=4, total_steps=100)


def committed(round_number: int, first_step: int, step: int, *names: str) -> m.RoundCommitted:
    members = tuple(
        m.MemberProgress(name=name, tokens=1, tokens_per_second=1.0, idle_fraction=0.0, share=1) for name in names
    )
    return m.RoundCommitted(
        run=RUN, round=round_number, first_step=first_step, step=step, total_steps=100, tokens=1, loss=None,
        tokens_per_second=1.0, members=members, wire_bytes=0, state_hash="cd" * 32,
    )  # fmt: skip


def joined(name: str) -> m.MemberJoined:
    return m.MemberJoined(run=RUN, name=name, device_kind="cpu", tuning=Sentence(""))


def lost(name: str) -> m.MemberLost:
    why = Sentence("{name} left the run: {why}", name=name, why=Sentence("it fell silent"))
    return m.MemberLost(run=RUN, name=name, why=why)


def line(events: Sequence[tuple[float, m.RunEvent]]) -> str:
    attendance = Attendance()
    for now, event in events:
        attendance.note(event, now)
    return attendance.line()


BEGIN: list[tuple[float, m.RunEvent]] = [
    (0.0, joined("one")),
    (1.0, joined("two")),
    (2.0, started(0, 0)),
    (3.0, committed(0, 0, 0, "one", "two")),
    (3.0, started(1, 0)),
    (13.0, committed(1, 0, 4, "one", "two")),
    (13.0, started(2, 4)),
]


def test_a_run_without_losses_has_no_line() -> None:
    assert line(BEGIN) == ""


def test_a_lost_member_is_named_with_its_reason_and_the_time_that_it_cost() -> None:
    assert line([*BEGIN, (20.0, lost("two")), (21.0, started(2, 4))]) == "trained again: 8s; left: two (it fell silent)"


def test_a_member_that_comes_back_is_named_until_it_leaves_again() -> None:
    events = [*BEGIN, (20.0, lost("two")), (21.0, joined("two"))]
    assert line(events) == "back: two"
    assert line([*events, (22.0, lost("two"))]) == "left: two (it fell silent)"


def test_a_loss_between_two_rounds_costs_no_time() -> None:
    events = [*BEGIN, (23.0, committed(2, 4, 8, "one", "two")), (24.0, lost("two")), (25.0, started(3, 8))]
    assert line(events) == "left: two (it fell silent)"


def test_a_leader_that_vanished_is_missing_in_the_next_round() -> None:
    why = Sentence("the leader, {name}, went away", name="one")
    changed = m.LeaderChanged(run=RUN, name="two", leader=DeviceId("b" * 52), term=2, why=why)
    events = [*BEGIN, (19.0, changed), (20.0, started(2, 4)), (30.0, committed(2, 4, 8, "two"))]
    assert line(events) == "trained again: 7s; left: one (went away)"


def test_a_new_leader_that_lacks_a_committed_round_trains_it_again() -> None:
    committed_by_one = [*BEGIN, (23.0, committed(2, 4, 8, "one", "two"))]
    assert line([*committed_by_one, (30.0, started(2, 4))]) == "trained again: 17s"


def test_history_that_arrives_at_once_has_no_known_cost() -> None:
    at_once = [(0.0, event) for _, event in [*BEGIN, (0.0, lost("two")), (0.0, started(2, 4))]]
    assert line(at_once) == "left: two (it fell silent)"
