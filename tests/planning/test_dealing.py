"""The steps of a local round: who takes which, and how long all of them need."""

import heapq
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.dealing import LocalWork, begin_work, deal, grace_seconds, note_taken, without
from cellmind_agent.planning.run_actions import Pace
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import LEAST_GRACE_SECONDS

DEVICES = tuple(DeviceId(letter * 32) for letter in "abcd")


def play(
    steps: int, true: dict[DeviceId, float], known: dict[DeviceId, float | None], message_seconds: float = 0.0
) -> tuple[float, dict[DeviceId, float], LocalWork]:
    """Deal a round to members of these true speeds (steps a second), which the leader may not know. Returns how long
    it takes, how long each member works, and the round."""
    work, now = begin_work(0, steps, is_evaluated=False), 0.0
    busy = dict.fromkeys(true, 0.0)
    begun: dict[DeviceId, float] = {}
    ends: list[tuple[float, int, DeviceId]] = []
    called: dict[DeviceId, float] = {}
    for event in range(100 * steps):
        dealt = deal(work, tuple(true), known)
        work = dealt.work
        for device in dealt.called_back:
            called[device] = now + message_seconds
        for device, (start, stop) in dealt.deals.items():
            begun[device] = now + message_seconds
            called.pop(device, None)
            heapq.heappush(ends, (begun[device] + (stop - start) / true[device], event, device))
        if work.is_done:
            return now, busy, work
        # Those that were called back end after their present step.
        ends = [(min(end, _step_end(begun[d], called[d], true[d])) if d in called else end, e, d) for end, e, d in ends]
        heapq.heapify(ends)
        end, _, device = heapq.heappop(ends)
        start, stop = work.dealt[device]
        count = min(stop - start, max(1, round((end - begun[device]) * true[device])))
        busy[device] += end - begun[device]
        now = end + message_seconds
        work = note_taken(work, device, start, count)
    raise AssertionError("the round has no end")


def _step_end(begun: float, called: float, speed: float) -> float:
    steps = max(1, -int(-(called - begun) * speed // 1))
    return begun + steps / speed


def check_exact(work: LocalWork) -> None:
    """I2: every step is taken once."""
    taken = [step for ranges in work.taken.values() for start, stop in ranges for step in range(start, stop)]
    assert sorted(taken) == list(range(work.first_step, work.first_step + work.num_steps))


def test_members_of_known_speeds_finish_together() -> None:
    speeds = dict(zip(DEVICES, (1.0, 2.0, 4.0), strict=False))
    seconds, busy, work = play(210, speeds, dict(speeds), message_seconds=0.01)
    check_exact(work)
    assert all(1 - one / seconds < 0.03 for one in busy.values()), busy
    assert 210 / seconds > 0.97 * sum(speeds.values())


@pytest.mark.parametrize("slow", [0.1, 0.25, 0.5])
def test_a_member_that_has_become_slow_hardly_delays_the_others(slow: float) -> None:
    true = {DEVICES[0]: 1.0, DEVICES[1]: 1.0, DEVICES[2]: slow}
    known: dict[DeviceId, float | None] = dict.fromkeys(true, 1.0)
    seconds, _, work = play(60, true, known, message_seconds=0.01)
    check_exact(work)
    assert seconds < 60 / sum(true.values()) + 1 / slow + 1.5  # no more than the step that it has begun


def test_a_much_slower_member_gets_no_step_that_the_others_would_wait_for() -> None:
    true = {DEVICES[0]: 1.0, DEVICES[1]: 0.01}
    seconds, busy, work = play(20, true, dict(true))
    assert seconds == pytest.approx(20)
    assert busy[DEVICES[1]] == 0
    check_exact(work)
    _, busy, _ = play(400, true, dict(true))  # but in a long round it helps
    assert busy[DEVICES[1]] > 0


@given(
    st.integers(1, 60),
    st.lists(st.tuples(st.floats(0.05, 20), st.none() | st.floats(0.01, 50)), min_size=1, max_size=4),
)
def test_whatever_the_leader_believes_the_round_ends(steps: int, speeds: list[tuple[float, float | None]]) -> None:
    true = {device: one[0] for device, one in zip(DEVICES, speeds, strict=False)}
    known = {device: one[1] for device, one in zip(DEVICES, speeds, strict=False)}
    _, _, work = play(steps, true, known)
    check_exact(work)


@given(st.integers(1, 40), st.data())
def test_the_steps_of_a_lost_member_go_to_the_others(steps: int, data: st.DataObject) -> None:
    work, roster = begin_work(5, steps, is_evaluated=False), list(DEVICES)
    for _ in range(200):
        if work.is_done:
            break
        dealt = deal(work, roster, {})
        work = dealt.work
        assert dealt.deals or work.dealt
        device = data.draw(st.sampled_from(sorted(work.dealt)))
        if len(roster) > 1 and data.draw(st.booleans()):
            roster.remove(device)
            work = without(work, device)
            assert device not in work.taken
        else:
            start, stop = work.dealt[device]
            work = note_taken(work, device, start, data.draw(st.integers(1, stop - start)))
    check_exact(work)
    assert set(work.taken) <= set(roster)


def test_an_answer_to_another_deal_changes_nothing() -> None:
    work = deal(begin_work(0, 10, is_evaluated=False), DEVICES[:1], {}).work
    assert note_taken(work, DEVICES[0], 7, 1) == work
    assert note_taken(work, DEVICES[1], 0, 1) == work


def test_a_member_that_is_cut_gets_no_more_in_the_round_and_its_finished_steps_count() -> None:
    fast, slow = DEVICES[:2]
    speeds = {fast: 5.0, slow: 100.0}  # it was fast, and is no longer
    work = deal(begin_work(0, 8, is_evaluated=False), (fast, slow), speeds).work
    first = work.dealt[slow]
    work = deal(note_taken(work, slow, first[0], 1), (fast, slow), speeds).work
    work = note_taken(work, slow, work.dealt[slow][0], 0)
    assert work.cut == {slow}
    for _ in range(20):
        work = deal(work, (fast, slow), speeds).work
        assert slow not in work.dealt
        if work.is_done:
            break
        work = note_taken(work, fast, *(work.dealt[fast][0], work.dealt[fast][1] - work.dealt[fast][0]))
    check_exact(work)
    assert work.taken[slow] == ((first[0], first[0] + 1),)


def test_if_the_others_are_lost_a_member_that_was_cut_takes_the_rest() -> None:
    fast, slow = DEVICES[:2]
    work = deal(begin_work(0, 8, is_evaluated=False), (fast, slow), {}).work
    work = note_taken(work, slow, work.dealt[slow][0], 0)
    assert deal(without(work, fast), (slow,), {}).deals


def test_free_members_wait_for_as_long_as_a_step_of_the_slowest_should_take() -> None:
    pace = Pace(
        round_seconds=10.0, seconds_per_step=2.0, speeds=dict(zip(DEVICES, (100.0, 200.0, 700.0), strict=False))
    )
    roster = DEVICES[:3]
    all_dealt = LocalWork(
        first_step=0,
        num_steps=2,
        is_evaluated=False,
        free=(),
        dealt={DEVICES[1]: (0, 1)},
        taken={DEVICES[2]: ((1, 2),)},
    )
    assert grace_seconds(all_dealt, roster, pace) == pytest.approx(2.0 * 1000 / 200)
    assert grace_seconds(all_dealt, roster, replace(pace, seconds_per_step=0.1)) == LEAST_GRACE_SECONDS
    assert grace_seconds(all_dealt, roster, replace(pace, seconds_per_step=None)) is None
    assert grace_seconds(all_dealt, DEVICES[1:2], pace) is None  # nobody waits
    assert grace_seconds(replace(all_dealt, free=((1, 2),)), roster, pace) is None


def test_an_answer_that_was_awaited_before_a_loss_cuts_nobody() -> None:
    work = deal(begin_work(0, 8, is_evaluated=False), DEVICES[:2], {}).work
    assert without(work, DEVICES[0]).num_answers != work.num_answers
