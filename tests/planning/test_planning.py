"""Election, shares, ledger, liveness and roster: decisions are functions of values."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.backends import choose_backend
from cellmind_agent.planning.election import elect, election_key
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.liveness import Clocks, liveness, patience, seconds_away
from cellmind_agent.planning.recruits import others_train_on, recruits
from cellmind_agent.planning.roster import RunPlan, find_device, plan, seat, why_not, within_batch
from cellmind_agent.planning.shares import shares, spans
from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.protocol.ids import BackendName
from cellmind_agent.protocol.messages import Battery, Figure, PeerView, TrainingLimit, Versions
from model.line.sentence import Sentence
from tests.planning.peers import gpu, peer
from tests.protocol.examples import SPEC


def test_the_order_is_accelerator_speed_memory_mains_power_id() -> None:
    order = [
        peer("gg", accelerator=gpu("1")),
        peer("ff", accelerator=gpu("2", 8)),
        peer("ee", tokens_per_second=Figure(value=900.0, source="run")),
        peer("dd", ram_total_bytes=Figure(value=16 * 2**30, source="test")),
        peer("bb"),
        peer("cc"),
        peer("aa", battery=Battery(percent=90.0, plugged=False, source="test")),
    ]
    assert [p.name for p in elect(reversed(order))] == ["gg", "ff", "ee", "dd", "bb", "cc", "aa"]


@given(st.permutations(["aa", "bb", "cc", "dd"]))
def test_every_device_elects_the_same_leader(names: list[str]) -> None:
    assert [p.name for p in elect(peer(name) for name in names)] == ["aa", "bb", "cc", "dd"]


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_election_order_is_total(a: float, b: float) -> None:
    first, second = (peer(n, tokens_per_second=Figure(value=v, source="run")) for n, v in (("aa", a), ("bb", b)))
    assert (election_key(first) < election_key(second)) != (election_key(second) < election_key(first))


SPEEDS = st.lists(st.none() | st.floats(0.01, 1e6), min_size=1, max_size=20)


@given(SPEEDS, st.integers(0, 500))
def test_every_sample_is_given_out_once(speeds: list[float | None], samples: int) -> None:
    given_out = shares(speeds, samples)
    assert sum(given_out) == samples
    assert len(given_out) == len(speeds)
    assert min(given_out) >= (1 if samples >= len(speeds) else 0)


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=8))
def test_a_faster_member_never_gets_less(speeds: list[float]) -> None:
    given_out = shares(speeds, 1000)
    ordered = sorted(range(len(speeds)), key=lambda i: speeds[i])
    for slow, fast in pairwise(ordered):
        assert given_out[fast] >= given_out[slow] - 1


def test_shares_follow_speed() -> None:
    assert shares([300.0, 100.0], 32) == (24, 8) or shares([300.0, 100.0], 32) == (23, 9)
    assert shares([None, None, None], 32) == (11, 11, 10)


@given(st.integers(0, 1000), st.lists(st.integers(0, 50), min_size=1))
def test_spans_touch_and_do_not_overlap(start: int, amounts: list[int]) -> None:
    found = spans(start, amounts)
    assert found[0][0] == start
    assert all(a[1] == b[0] for a, b in pairwise(found))
    assert [stop - begin for begin, stop in found] == amounts


@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 4))
def test_in_an_epoch_every_sample_is_counted_exactly_once(samples: int, batch: int, epochs: int) -> None:
    """I2."""
    ledger = Ledger(num_samples=samples, batch_samples=batch, epochs=epochs)
    seen: dict[int, list[int]] = {}
    for step in range(ledger.total_steps):
        epoch, start, stop = ledger.batch(step)
        seen.setdefault(epoch, []).extend(range(start, stop))
    assert seen == {epoch: list(range(samples)) for epoch in range(epochs)}


@given(
    st.integers(1, 100),
    st.lists(st.integers(0, 7), min_size=1, max_size=4).filter(sum),
    st.integers(0, 50),
)
def test_the_members_of_a_round_take_each_of_its_samples_once(samples: int, amounts: list[int], first: int) -> None:
    """I2."""
    ledger = Ledger(num_samples=samples, batch_samples=sum(amounts), epochs=100)
    divided = list(ledger.divide(first, 5, amounts))
    assert len(divided) == 5
    for step, (epoch, parts) in enumerate(divided, first):
        assert (epoch, parts[0][0], parts[-1][1]) == ledger.batch(step)
        assert all(a[1] == b[0] for a, b in pairwise(parts))


def test_a_ledger_stops_at_max_steps() -> None:
    assert Ledger(num_samples=100, batch_samples=10, epochs=5, max_steps=7).total_steps == 7


def test_liveness_is_decided_by_links_and_goodbyes() -> None:
    assert liveness(True, 100.0, False, False) == "online"
    assert liveness(False, 1.0, False, False) == "online"
    assert liveness(False, 10.0, False, False) == "asleep"
    assert liveness(False, 3600.0, False, False) == "gone"
    assert liveness(False, None, False, False) == "gone"
    assert liveness(True, 0.1, True, False) == "gone"
    assert liveness(True, 0.1, True, True) == "asleep"


def test_patience_follows_the_link_between_floor_and_ceiling() -> None:
    assert patience([]) == 5.0
    assert patience([0.001] * 30) == 2.5
    assert patience([0.5, 0.6, 0.7, 0.8, 0.9]) == pytest.approx(4 * 0.7 + 8 * 0.1)
    assert patience([4.0] * 10) == 10.0


def test_one_late_answer_does_not_change_patience() -> None:
    assert patience([0.7] * 9 + [60.0]) == patience([0.7] * 10)


@given(st.lists(st.floats(0, 100), max_size=40))
def test_patience_is_never_beyond_its_bounds(round_trips: list[float]) -> None:
    assert 2.5 <= patience(round_trips) <= 10.0


def test_sleep_and_a_stopped_process_are_noticed_and_a_normal_second_is_not() -> None:
    start = Clocks(awake=100.0, elapsed=500.0)
    assert seconds_away(start, Clocks(awake=101.0, elapsed=501.0), 1.0) == 0
    assert seconds_away(start, Clocks(awake=101.0, elapsed=3601.0), 1.0) == 3100
    assert seconds_away(start, Clocks(awake=131.0, elapsed=531.0), 1.0) == 30


def a_plan(peers: list[PeerView], batch_samples: int) -> RunPlan:
    seating = within_batch(seat(peers), batch_samples, "ddp")
    return plan(seating, batch_samples, choose_backend(seating.seated), ("ddp", Sentence("asked for")))


def test_the_plan_names_the_devices_left_out_and_the_reasons() -> None:
    peers = [
        peer("aa"),
        peer("bb", versions=Versions(cellmind="0", python="3")),
        replace(peer("cc"), state="asleep"),
        peer("dd", host="elsewhere"),
        peer("ee", run="run-1"),
    ]
    made = a_plan(peers, 8)
    assert [(member.name, member.host) for member in made.roster] == [("aa", "one"), ("dd", "elsewhere")]
    assert made.shares == (4, 4)
    assert {out.name: out.why.split(":")[0] for out in made.left_out} == {
        "bb": "has no torch",
        "cc": "asleep",
        "ee": "is busy with run-1",
    }


def test_a_phone_that_does_not_charge_is_left_out() -> None:
    resting = TrainingLimit(why=Sentence("it does not charge"), is_paused=True)
    slower = TrainingLimit(why=Sentence("other programs use the processor"))
    made = a_plan([peer("aa", training_limit=slower), peer("bb", training_limit=resting)], 8)
    assert [member.name for member in made.roster] == ["aa"]
    assert [(out.name, str(out.why)) for out in made.left_out] == [("bb", "it does not charge")]


def test_an_unpaired_device_never_trains() -> None:
    assert why_not(replace(peer("aa"), paired=False)) == "not paired"
    with pytest.raises(UnknownNameError, match="no device can train"):
        seat([replace(peer("aa"), paired=False)])


def test_a_batch_smaller_than_the_cell_leaves_devices_out() -> None:
    made = a_plan([peer("aa"), peer("bb"), peer("cc")], 2)
    assert [member.name for member in made.roster] == ["aa", "bb"]
    assert [out.name for out in made.left_out] == ["cc"]


def test_in_the_mode_local_members_share_the_steps_of_a_round() -> None:
    fast, slow = (
        peer(name, tokens_per_second=Figure(value=speed, source="test"))
        for name, speed in (("aa", 300.0), ("bb", 100.0))
    )
    made = plan(seat([fast, slow]), 8, (BackendName("gloo"), "asked for"), ("local", "asked for"))
    assert (made.mode, made.shares) == ("local", (75, 25))


def test_a_device_is_found_by_name_or_beginning_of_its_id() -> None:
    peers = [peer("aa"), peer("bb"), replace(peer("cc"), name="bb")]
    assert find_device(peers, "aa").name == "aa"
    assert find_device(peers, "CCCC").id == "c" * 32
    with pytest.raises(UnknownNameError, match="2 devices"):
        find_device(peers, "bb")
    with pytest.raises(UnknownNameError, match="no device"):
        find_device(peers, "zz")


def test_a_device_may_rest_only_if_another_member_trains_on() -> None:
    resting = TrainingLimit(why=Sentence("hot"), is_paused=True)
    one, two, guest = peer("aa"), peer("bb"), peer("cc")
    hot = peer("bb", training_limit=resting)
    roster = (one.id, two.id)
    assert others_train_on(one.id, roster, [one, two, guest])
    for other in (hot, replace(two, state="asleep")):
        assert not others_train_on(one.id, roster, [one, other, guest])


def test_in_the_mode_local_more_devices_than_samples_take_part() -> None:
    """Each takes whole steps."""
    seating = seat([peer("aa"), peer("bb"), peer("cc")])
    assert within_batch(seating, 2, "local") == seating
    spec = replace(SPEC, devices=(), left_out=(), batch_samples=2)
    taken = frozenset(one.id for one in seating.seated[:2])
    assert [one.name for one in recruits(seating.seated, replace(spec, mode="local"), taken, {})] == ["cc"]
    assert recruits(seating.seated, replace(spec, mode="ddp"), taken, {}) == ()
