"""What devices will train together, and which of them help."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.exchange import MeasuredNetwork
from cellmind_agent.planning.forecast import INT4, INT8, Work, chosen, forecast, gain, useful_subsets
from cellmind_agent.planning.recruits import may_take_part, recruits
from cellmind_agent.planning.roster import plan, promised, seat, seat_of, without_idlers
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.messages import Figure, RosterMember, RunMode
from model.line.sentence import Sentence
from tests.planning.peers import peer
from tests.protocol.examples import SPEC

WORK = Work(weights=4_000_000, step_tokens=2048, batch_samples=16)
WIFI = 35e6 / 8
BOTH: tuple[RunMode, ...] = ("ddp", "local")


def devices(*speeds: float | None) -> list[RosterMember]:
    return [
        RosterMember(device=DeviceId(name * 32), name=name, host=name, tokens_per_second=speed)
        for name, speed in zip("abcdefgh", speeds, strict=False)
    ]


def air(members: list[RosterMember], rate: float = WIFI) -> MeasuredNetwork:
    pairs = {(one.device, other.device): rate for one in members for other in members if one is not other}
    return MeasuredNetwork(rates=pairs, is_shared=True)


def test_three_devices_on_wi_fi() -> None:
    """Measured in a simulated home (BENCHMARKS): together 157 tokens a second step by step, and 11,486 in local
    rounds."""
    members = devices(5443.0, 5443.0, 5443.0)
    work = Work(weights=3_200_000, step_tokens=2048, batch_samples=16)
    together, apart = (forecast(mode, members, work, air(members)) for mode in BOTH)
    assert together
    assert apart
    assert together.tokens_per_second == pytest.approx(157, rel=0.15)
    assert apart.tokens_per_second == pytest.approx(11_486, rel=0.15)


def test_alone_a_device_trains_at_its_own_speed() -> None:
    members = devices(1000.0)
    alone = forecast("local", members, WORK, air(members))
    assert alone
    assert alone.tokens_per_second == pytest.approx(1000, rel=0.02)
    assert alone.exchange_seconds == 0


def test_a_step_waits_for_the_member_with_most_to_do_for_its_speed() -> None:
    """16 rows for speeds 1 and 3 are 4 and 12; for 1 and 100 one row each is the least."""
    fast, slow = (
        forecast("ddp", members, WORK, MeasuredNetwork(rates={}))
        for members in (
            [replace_host(one) for one in devices(3000.0, 1000.0)],
            [replace_host(one) for one in devices(100_000.0, 10.0)],
        )
    )
    assert fast
    assert slow
    assert fast.tokens_per_second == pytest.approx(4000)
    assert slow.tokens_per_second == pytest.approx(10 * 16)


def replace_host(member: RosterMember) -> RosterMember:
    return RosterMember(device=member.device, name=member.name, host="one", tokens_per_second=member.tokens_per_second)


def test_a_long_average_travels_in_four_bits() -> None:
    members = devices(4000.0, 4000.0, 4000.0)
    short, long = (forecast("local", members, WORK, air(members, rate)) for rate in (WIFI * 10, WIFI))
    assert short
    assert long
    assert (short.bytes_per_value, long.bytes_per_value) == (INT8, INT4)


def test_nothing_is_forecast_from_nothing() -> None:
    members = devices(None, None)
    assert forecast("local", members, WORK, air(members)) is None
    assert forecast("local", devices(1.0, 1.0), WORK, MeasuredNetwork(rates={})) is None
    assert useful_subsets(BOTH, members, WORK, air(members)) == []


def test_a_phone_that_brings_nothing_stays_out() -> None:
    members = devices(4000.0, 3500.0, 15.0)
    subsets = useful_subsets(BOTH, members, WORK, air(members))
    best = chosen(subsets)
    assert [len(one.members) for one in subsets] == [1, 2, 3]
    assert [member.name for member in best.members] == ["a", "b"]
    phone = gain(best, members, WORK, air(members))
    assert phone is not None
    assert phone < 0.01


def test_equal_devices_all_help() -> None:
    members = devices(4000.0, 4000.0, 4000.0, 4000.0)
    assert len(chosen(useful_subsets(BOTH, members, WORK, air(members))).members) == 4


def test_a_device_behind_a_very_slow_link_stays_out() -> None:
    members = devices(4000.0, 4000.0, 4000.0)
    rates = dict(air(members, 1e8).rates)
    far = members[2].device
    rates |= {pair: 1e4 for pair in rates if far in pair}
    best = chosen(useful_subsets(BOTH, members, WORK, MeasuredNetwork(rates=rates)))
    assert [member.name for member in best.members] == ["a", "b"]


@given(speeds=st.lists(st.floats(10, 1e5), min_size=1, max_size=6), rate=st.floats(1e4, 1e9))
def test_no_choice_is_slower_than_the_best_device_alone(speeds: list[float], rate: float) -> None:
    members = devices(*speeds)
    subsets = useful_subsets(BOTH, members, WORK, air(members, rate))
    best = chosen(subsets)
    assert best.useful_speed >= subsets[0].useful_speed
    for one in subsets:
        assert one.tokens_per_second <= sum(member.tokens_per_second or 0 for member in one.members) * 1.0001


# -- who takes part ----------------------------------------------------------------------------------------------------


def test_who_would_not_help_is_left_out_and_does_not_join_later() -> None:
    speeds = {"aa": 4000.0, "bb": 3500.0, "cc": 15.0}
    peers = [
        peer(name, host=name, tokens_per_second=Figure(value=speed, source="run")) for name, speed in speeds.items()
    ]
    seating = seat(peers)
    network = air([seat_of(one) for one in peers])
    chosen_seating, subsets = without_idlers(seating, BOTH, WORK, network)
    assert [one.name for one in chosen_seating.seated] == ["aa", "bb"]
    assert [(out.name, "slow the run down" in str(out.why)) for out in chosen_seating.left_out] == [("cc", True)]
    assert [len(one.members) for one in subsets] == [1, 2, 3]
    spec = replace(SPEC, devices=(), left_out=chosen_seating.idlers, batch_samples=16)
    joining = recruits(peers, spec, frozenset(), {})
    assert [one.name for one in joining] == ["aa", "bb"]
    assert may_take_part(peers[2].id, replace(spec, devices=(peers[2].id,)))  # a person has named it


def test_nobody_is_left_out_while_the_network_is_not_known() -> None:
    peers = [peer(name, host=name, tokens_per_second=Figure(value=9.0, source="run")) for name in ("aa", "bb")]
    seating = seat(peers)
    assert without_idlers(seating, BOTH, WORK, MeasuredNetwork(rates={})) == (seating, ())


def test_nobody_is_left_out_while_the_speed_of_one_is_not_known() -> None:
    peers = [peer("aa", host="aa", tokens_per_second=Figure(value=4000.0, source="run")), peer("gg", host="gg")]
    network = air([seat_of(one) for one in peers], 2e5)
    seating, subsets = without_idlers(seat(peers), BOTH, WORK, network)
    assert [one.name for one in seating.seated] == ["aa", "gg"]
    assert subsets


def test_the_run_carries_the_forecast_of_its_members() -> None:
    peers = [peer(name, host=name, tokens_per_second=Figure(value=9.0, source="run")) for name in ("aa", "bb")]
    roster = [seat_of(one) for one in peers]
    made = forecast("local", roster, WORK, air(roster))
    assert made
    planned = plan(seat(peers), 16, (BackendName("gloo"), Sentence("")), ("local", Sentence("")), made.averaging, made)
    promise = promised(planned)
    assert promise
    assert promise.tokens_per_second == made.tokens_per_second
    assert {member.name: member.tokens_per_second for member in promise.members} == {"aa": 9.0, "bb": 9.0}
    assert promised(replace(planned, forecast=None)) is None
