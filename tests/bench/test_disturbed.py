"""What the benchmarks of faults and churn rely on: schedules, capacities, and figures that are read off events."""

import random

import pytest

from tests.bench.fault_kinds import FAULTS, PHASES
from tests.bench.fault_report import Outcome, figures
from tests.bench.faults import begun_after, redone_tokens
from tests.bench.kills import Kill, capacity, schedule
from tests.watcher import Event

NAMES = ("one", "two", "three", "four")


def events(*found: tuple[float, str, dict[str, int]]) -> list[Event]:
    return [Event(at, kind, data) for at, kind, data in found]


def committed(at: float, first_step: int, step: int) -> tuple[float, str, dict[str, int]]:
    return at, "round_committed", {"first_step": first_step, "step": step, "tokens": 10 * step}


STRUCK = events(
    (1.0, "round_started", {"step": 4}),
    committed(2.0, 4, 8),
    (2.1, "round_started", {"step": 8}),
    (2.6, "progress", {"step": 10, "tokens": 100}),
    (3.0, "member_lost", {}),
    (3.2, "round_started", {"step": 8}),
    (3.4, "progress", {"step": 9, "tokens": 90}),
    (3.5, "round_started", {"step": 8}),
    committed(4.5, 8, 12),
    (4.6, "round_started", {"step": 12}),
    committed(5.5, 12, 16),
)


def test_a_round_that_is_begun_again_and_again_counts_from_its_last_start() -> None:
    started: list[Event] = []
    is_wanted = begun_after(2.7, started)
    found = next(event for event in STRUCK if is_wanted(event))
    assert (found.at, started[-1].at) == (4.5, 3.5)


def test_a_commit_of_a_round_that_began_before_the_fault_is_no_recovery() -> None:
    is_wanted = begun_after(2.05, [])
    assert next(event for event in STRUCK if is_wanted(event)).at == 4.5


def test_the_progress_of_each_round_that_was_begun_again_is_redone() -> None:
    assert redone_tokens(STRUCK, 2.7) == (100 - 80) + (90 - 80)
    assert redone_tokens(STRUCK, 4.0) == 0


def test_kills_strike_devices_that_are_up_and_leave_one() -> None:
    kills = schedule(1200, 5, 10, NAMES, random.Random(1))
    assert 120 < len(kills) < 300
    for kill in kills:
        up = set(NAMES) - {other.name for other in kills if other.at < kill.at < other.back}
        assert kill.name in up
        assert len(up) > 1
    assert schedule(1200, 5, 10, NAMES, random.Random(1)) == kills


def test_devices_that_are_up_can_compute_what_the_processors_allow() -> None:
    kills = [Kill(at=10, back=20, name="one"), Kill(at=15, back=25, name="two"), Kill(at=18, back=40, name="three")]
    # Up: 4 for 10 s, 3 for 5, 2 for 3, 1 for 2, 2 for 5, 3 until 30 s. Three and four compute no more than 250.
    expected = 10 * 250 + 5 * 250 + 3 * 200 + 2 * 100 + 5 * 200 + 5 * 250
    assert capacity(kills, 30, 4, 100, 250) == pytest.approx(expected)


def test_the_figures_of_a_cell_leave_out_what_did_not_happen() -> None:
    good = Outcome(fault="killed", phase="training", seed="1-0", hit=True, went_on=True, is_exact=True, was_out=True)
    good.recovery_seconds, good.back_seconds, good.redone_tokens = 1.0, 5.0, 100
    bad = Outcome(fault="killed", phase="training", seed="1-1", error="the run ended")
    found = figures([good, bad])
    assert (found["n"], found["hit"], found["went_on"], found["exact"], found["was_out"]) == (2, 1, 1, 1, 1)
    assert found["recovery"] == {"p50": 1.0, "p95": 1.0, "worst": 1.0, "n": 1}
    assert figures([bad])["back"] is None


def test_faults_have_names_of_their_own_and_known_phases() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.phases <= set(PHASES) for fault in FAULTS)
