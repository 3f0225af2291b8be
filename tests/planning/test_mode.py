"""How members train together follows from what a step would take in each mode."""

import pytest

from cellmind_agent.planning.exchange import MeasuredNetwork
from cellmind_agent.planning.forecast import Work
from cellmind_agent.planning.mode import choose_mode, possible_modes
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember

WORK = Work(weights=4_000_000, step_tokens=2048, batch_samples=16)
WIFI, GIGABIT = 35e6 / 8, 1e9 / 8


def roster(*speeds: float | None, hosts: str = "abcdefgh") -> list[RosterMember]:
    return [
        RosterMember(device=DeviceId(name * 32), name=name, host=host, tokens_per_second=speed)
        for name, host, speed in zip("abcdefgh", hosts, speeds, strict=False)
    ]


def network(members: list[RosterMember], rate: float, is_shared: bool = False) -> MeasuredNetwork:
    pairs = {(one.device, other.device): rate for one in members for other in members if one is not other}
    return MeasuredNetwork(rates=pairs, is_shared=is_shared)


def test_what_a_person_asks_for_is_done() -> None:
    assert choose_mode("local", roster(1.0), WORK, None)[0] == "local"
    assert choose_mode("ddp", roster(1.0, 1.0), WORK, network(roster(1.0, 1.0), 1.0))[0] == "ddp"
    assert possible_modes("local", roster(1.0, 1.0)) == ("local",)


def test_where_nothing_crosses_a_network_members_step_together() -> None:
    members = roster(1000.0, 1000.0, hosts="aa")
    assert choose_mode("auto", members, WORK, None)[0] == "ddp"
    assert possible_modes("auto", members) == ("ddp",)


def test_a_run_of_one_device_may_be_joined_over_any_network() -> None:
    """Alone a device trains alike in both modes."""
    assert choose_mode("auto", roster(1000.0), WORK, None)[0] == "local"


def test_three_devices_on_wi_fi_train_in_local_rounds() -> None:
    """The gradients of a step would take a hundred times as long as its computing."""
    members = roster(4541.0, 4541.0, 4541.0)
    mode, why = choose_mode("auto", members, WORK, network(members, WIFI, is_shared=True))
    assert mode == "local"
    assert str(why) == "at 35 Mbit/s, which all share, a step takes 15 s together, and 0.18 s in local rounds"


@pytest.mark.parametrize("speeds", [(4541.0, 4541.0), (4541.0, None), (None, None)])
def test_a_fast_network_is_used_for_each_step(speeds: tuple[float | None, ...]) -> None:
    members = roster(*speeds)
    work = Work(weights=4_000_000, step_tokens=8192, batch_samples=16)
    mode, why = choose_mode("auto", members, work, network(members, GIGABIT))
    assert mode == "ddp"
    assert str(why).startswith("at 1000 Mbit/s")


def test_without_speeds_a_long_exchange_decides() -> None:
    members = roster(None, None)
    assert choose_mode("auto", members, WORK, network(members, WIFI))[0] == "local"


def test_a_network_that_could_not_be_measured_is_named() -> None:
    mode, why = choose_mode("auto", roster(1000.0, 1000.0), WORK, None)
    assert mode == "ddp"
    assert "--mode local" in str(why)


def test_a_faster_network_never_makes_members_step_apart() -> None:
    members = roster(2000.0, 1000.0, 500.0)
    modes = [choose_mode("auto", members, WORK, network(members, 1e5 * 1.3**power))[0] for power in range(40)]
    assert modes == sorted(modes, reverse=True)
    assert set(modes) == {"ddp", "local"}
