"""Every sample of an epoch counts once, whoever came and went; a round that is missing or counted twice is found."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.audit import audit, audit_steps, used_by
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.ranges import Ranges
from cellmind_agent.planning.shares import averaged
from cellmind_agent.protocol import messages as m
from tests.planning.histories import LEDGER, committed

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), max_size=20)
ROSTERS = st.dictionaries(st.sampled_from("abcdefghij"), st.floats(0.1, 1000.0), min_size=1)
HISTORIES = st.lists(st.tuples(st.integers(1, 6), ROSTERS), min_size=1, max_size=12)


def history(drawn: list[tuple[int, dict[str, float]]]) -> list[m.RoundCommitted]:
    """Rounds of so many steps and such rosters, up to the end of the run."""
    rounds, step = [], 0
    for number, (steps, speeds) in enumerate(drawn):
        last = min(step + steps, LEDGER.total_steps)
        rounds.append(committed(step, last, speeds, term=number, number=number))
        step = last
    return rounds


@given(RANGES)
def test_ranges_are_the_set_of_their_integers(added: list[tuple[int, int]]) -> None:
    ranges, truth = Ranges(), set[int]()
    for start, length in added:
        new = set(range(start, start + length))
        shared = {one for begin, end in ranges.add(start, start + length) for one in range(begin, end)}
        assert shared == new & truth
        truth |= new
    found = list(ranges)
    assert {one for begin, end in found for one in range(begin, end)} == truth
    assert all(before[1] < after[0] for before, after in pairwise(found))
    assert ranges.count == len(truth)
    missing = {one for begin, end in ranges.missing(50) for one in range(begin, end)}
    assert missing == set(range(50)) - truth


def test_a_range_that_ends_before_its_start_is_refused() -> None:
    with pytest.raises(ValueError, match="no range"):
        Ranges().add(3, 2)


@given(HISTORIES)
def test_any_history_uses_every_sample_once_in_each_epoch(drawn: list[tuple[int, dict[str, float]]]) -> None:
    rounds = history(drawn)
    found = audit(LEDGER, rounds)
    counts = Counter(
        (used.epoch, position)
        for one in rounds
        for used in used_by(LEDGER, one)
        for position in range(used.start, used.stop)
    )
    assert set(counts.values()) <= {1}
    assert all(sum(epoch == one for one, _ in counts) == LEDGER.num_samples for epoch in range(found.epoch))
    assert found.num_counted == sum(epoch == found.epoch for epoch, _ in counts)
    assert (found.num_missing, found.faults) == (0, ())
    assert found.epoch == rounds[-1].step // LEDGER.steps_per_epoch
    assert audit_steps(LEDGER, [(one.first_step, one.step) for one in rounds]) == found


@given(HISTORIES, st.data())
def test_a_round_that_is_missing_is_found(drawn: list[tuple[int, dict[str, float]]], data: st.DataObject) -> None:
    rounds = history(drawn)
    place = data.draw(st.integers(0, len(rounds) - 1))
    dropped = rounds[place]
    size = sum(used.stop - used.start for used in used_by(LEDGER, dropped))
    rest = [*rounds[:place], *rounds[place + 1 :]]
    is_noticed = bool(rest) and rest[-1].step > dropped.first_step
    for found in (audit(LEDGER, rest), audit_steps(LEDGER, [(one.first_step, one.step) for one in rest])):
        assert found.num_missing == (size if is_noticed else 0)
        assert found.faults == ()


@given(HISTORIES, st.data())
def test_a_round_that_is_counted_twice_is_found(drawn: list[tuple[int, dict[str, float]]], data: st.DataObject) -> None:
    rounds = history(drawn)
    again = rounds[data.draw(st.integers(0, len(rounds) - 1))]
    by_epoch = Counter[int]()
    for used in used_by(LEDGER, again):
        by_epoch[used.epoch] += used.stop - used.start
    told = [f"epoch {epoch + 1} used {count} samples twice" for epoch, count in sorted(by_epoch.items())]
    assert list(audit(LEDGER, [*rounds, again]).faults) == told
    steps = [(one.first_step, one.step) for one in [*rounds, again]]
    assert list(audit_steps(LEDGER, steps).faults) == told


def test_a_round_that_did_not_divide_its_batch_is_a_fault_and_its_samples_are_missing() -> None:
    empty = replace(committed(2, 4, {"a": 1.0}, term=7, number=3), members=())
    found = audit(LEDGER, [committed(0, 2, {"a": 1.0}), empty])
    assert found.faults == ("round 3 of term 7 did not divide its samples among its members",)
    assert (found.num_counted, found.num_missing) == (16, 16)
    member = committed(0, 2, {"a": 1.0}).members[0]
    for shares in ((member.share + 1, -1), (member.share - 1,), (member.share, 1)):
        members = tuple(replace(member, share=share) for share in shares)
        assert audit(LEDGER, [replace(empty, members=members)]).faults == found.faults


def test_a_round_beyond_the_end_of_the_run_is_a_fault_and_takes_no_time() -> None:
    beyond = replace(committed(0, 2, {"a": 1.0}, term=7, number=3), step=1 << 60)
    assert audit(LEDGER, [beyond]).faults == ("round 3 of term 7 has no such steps",)


def test_a_run_without_rounds_has_used_nothing() -> None:
    found = audit(Ledger(num_samples=5, batch_samples=2, epochs=1), [])
    assert (found.epoch, found.num_counted, found.num_missing, found.faults) == (0, 0, 0, ())


def test_a_run_of_a_million_steps_is_audited_by_its_epochs() -> None:
    ledger = Ledger(num_samples=10**9, batch_samples=100, epochs=3)
    found = audit_steps(ledger, [(0, 9_999_999), (9_999_999, 25_000_000)])
    assert (found.epoch, found.num_counted, found.num_missing) == (2, 500_000_000, 0)


def test_a_speed_is_an_average_that_follows_its_measurements() -> None:
    assert averaged(None, 100.0) == 100.0
    assert averaged(100.0, 200.0) == pytest.approx(130.0)
    speed = averaged(None, 100.0)
    for _ in range(12):
        speed = averaged(speed, 50.0)
    assert speed == pytest.approx(50.0, rel=0.02)


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30))
def test_an_average_speed_stays_between_its_measurements(measured: list[float]) -> None:
    speed = None
    for one in measured:
        speed = averaged(speed, one)
    assert speed is not None
    assert min(measured) * (1 - 1e-9) <= speed <= max(measured) * (1 + 1e-9)
