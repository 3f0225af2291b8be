"""How members train together follows from what a step would take in each mode."""

import pytest

from cellmind_agent.planning.mode import Work, choose_mode
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember

WORK = Work(weights=4_000_000, step_tokens=2048)
WIFI, GIGABIT = 35e6 / 8, 1e9 / 8


def roster(*speeds: float | None, hosts: str = "abcdefgh") -> list[RosterMember]:
    return [
        RosterMember(device=DeviceId(host * 32), name=host, host=host, tokens_per_second=speed)
        for host, speed in zip(hosts, speeds, strict=False)
    ]


def test_what_a_person_asks_for_is_done() -> None:
    assert choose_mode("local", roster(1.0), WORK, None)[0] == "local"
    assert choose_mode("ddp", roster(1.0, 1.0), WORK, 1.0)[0] == "ddp"


def test_where_nothing_crosses_a_network_members_step_together() -> None:
    assert choose_mode("auto", roster(1000.0, 1000.0, hosts="aa"), WORK, None)[0] == "ddp"


def test_a_run_of_one_device_may_be_joined_over_any_network() -> None:
    """Alone a device trains alike in both modes."""
    assert choose_mode("auto", roster(1000.0), WORK, None)[0] == "local"


def test_three_devices_on_wi_fi_train_in_local_rounds() -> None:
    """The gradients of a step would take a hundred times as long as its computing."""
    mode, why = choose_mode("auto", roster(4541.0, 4541.0, 4541.0), WORK, WIFI / 3)
    assert mode == "local"
    assert str(why) == "at 12 Mbit/s a step takes 15 s together, and 0.2 s in local rounds"


@pytest.mark.parametrize("speeds", [(4541.0, 4541.0), (4541.0, None), (None, None)])
def test_a_fast_network_is_used_for_each_step(speeds: tuple[float | None, ...]) -> None:
    mode, why = choose_mode("auto", roster(*speeds), Work(weights=4_000_000, step_tokens=8192), GIGABIT)
    assert mode == "ddp"
    assert str(why).startswith("at 1000 Mbit/s")


def test_without_speeds_a_long_exchange_decides() -> None:
    assert choose_mode("auto", roster(None, None), WORK, WIFI)[0] == "local"


@pytest.mark.parametrize("rate", [None, 0.0])
def test_a_network_that_could_not_be_measured_is_named(rate: float | None) -> None:
    mode, why = choose_mode("auto", roster(1000.0, 1000.0), WORK, rate)
    assert mode == "ddp"
    assert "--mode local" in str(why)


def test_a_faster_network_never_makes_members_step_apart() -> None:
    modes = [choose_mode("auto", roster(2000.0, 1000.0, 500.0), WORK, 1e5 * 1.3**power)[0] for power in range(40)]
    assert modes == sorted(modes, reverse=True)
    assert set(modes) == {"ddp", "local"}
