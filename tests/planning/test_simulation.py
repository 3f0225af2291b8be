"""The product's planning on a virtual clock, and the networks of homes that do not exist."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.planning.exchange import best_averaging
from cellmind_agent.planning.forecast import Work, average_seconds, forecast
from cellmind_agent.planning.homes import HomeNetwork, Place
from cellmind_agent.planning.simulation import SimulatedRun, simulate
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember

MEGABIT = 1e6 / 8
VECTOR = 3.2e6


def ids(count: int) -> list[DeviceId]:
    return [DeviceId(f"{number:032d}") for number in range(count)]


def run(*speeds: float, average: float = 0.0, step_tokens: int = 2048) -> SimulatedRun:
    return simulate(dict(zip(ids(len(speeds)), speeds, strict=True)), average, step_tokens)


def members(count: int, speed: float = 5000.0) -> list[RosterMember]:
    return [RosterMember(device=one, name=one, host=one, tokens_per_second=speed) for one in ids(count)]


def home(cells: int, *are_wired: bool, air: float = 100.0) -> HomeNetwork:
    """Devices with or without a cable of 1000 Mbit/s, dealt to the cells in turn."""
    devices = ids(len(are_wired))
    places = {
        device: Place(cell=number % cells, is_wired=is_wired)
        for number, (device, is_wired) in enumerate(zip(devices, are_wired, strict=True))
    }
    return HomeNetwork(places=places, air=air * MEGABIT, cable=1000 * MEGABIT, backbone=1000 * MEGABIT)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_device_alone_is_never_idle() -> None:
    found = run(5000.0)
    assert found.tokens_per_second == pytest.approx(5000, rel=0.05)
    assert max(found.idle.values()) < 0.05


@pytest.mark.parametrize("speeds", [(1000.0, 2000.0, 4000.0), (3000.0, 3000.0, 3000.0, 3000.0)])
def test_without_an_exchange_devices_of_any_speeds_reach_their_sum(speeds: tuple[float, ...]) -> None:
    found = run(*speeds, step_tokens=512)
    assert found.tokens_per_second > 0.95 * sum(speeds)
    assert max(found.idle.values()) < 0.06


def test_while_members_average_they_take_no_step() -> None:
    found = run(5000.0, 5000.0, average=10.0)
    assert found.tokens_per_second == pytest.approx(10_000 * 30 / 40, rel=0.05)  # the exchange is a quarter of a round


@pytest.mark.parametrize("speeds", [(10_000.0, 5400.0), (10_000.0, 5400.0, 5400.0, 5400.0), (9000.0, 1000.0)])
def test_members_in_time_are_not_cut(speeds: tuple[float, ...]) -> None:
    """Long steps: about two in a round."""
    found = run(*speeds, step_tokens=16_384)
    assert found.tokens_per_second > 0.75 * sum(speeds)


def test_a_simulation_is_the_same_each_time() -> None:
    assert run(1000.0, 300.0, average=1.5) == run(1000.0, 300.0, average=1.5)


@settings(max_examples=25, deadline=None)
@given(
    speeds=st.lists(st.floats(500, 5000), min_size=2, max_size=6),
    air=st.floats(20, 1000),
)
def test_the_forecast_is_near_the_simulation(speeds: list[float], air: float) -> None:
    work = Work(weights=3_200_000, step_tokens=2048)
    devices = members(len(speeds))
    devices = [
        RosterMember(device=one.device, name=one.name, host=one.host, tokens_per_second=speed)
        for one, speed in zip(devices, speeds, strict=True)
    ]
    made = forecast("local", devices, work, home(1, *([False] * len(speeds)), air=air))
    assert made
    assert made.averaging
    found = run(*sorted(speeds, reverse=True), average=average_seconds(speeds, made.averaging.seconds))
    assert made.tokens_per_second == pytest.approx(found.tokens_per_second, rel=0.15)


# -- networks ----------------------------------------------------------------------------------------------------------


def test_on_the_air_each_byte_between_two_devices_counts_twice() -> None:
    two = home(1, False, False)
    assert two.parts_seconds(members(2), VECTOR) == pytest.approx(4 * VECTOR / (100 * MEGABIT))
    wired = home(1, True, False)
    assert wired.parts_seconds(members(2), VECTOR) == pytest.approx(2 * VECTOR / (100 * MEGABIT))


def test_cables_carry_both_directions_at_once() -> None:
    assert home(1, True, True).parts_seconds(members(2), VECTOR) == pytest.approx(VECTOR / (1000 * MEGABIT))


def test_one_device_exchanges_nothing() -> None:
    alone = home(1, False)
    assert alone.parts_seconds(members(1), VECTOR) == 0
    assert alone.ring_seconds(members(1), VECTOR) == 0
    assert alone.cells_seconds(members(1), VECTOR) == 0


def test_a_star_through_the_device_with_a_cable_is_chosen() -> None:
    devices = members(4)
    best = best_averaging(devices, VECTOR, home(1, False, False, True, False))
    assert best
    assert best.center == devices[2]


def test_many_devices_on_cables_need_no_star() -> None:
    devices = members(50)
    network = home(1, *([True] * 50))
    star, parts = network.star_seconds(devices, VECTOR, devices[0]), network.parts_seconds(devices, VECTOR)
    assert star
    assert parts
    assert star > 20 * parts
    best = best_averaging(devices, VECTOR, network)
    assert best
    assert best.center is None


def test_cells_that_have_an_air_each_average_at_once() -> None:
    one, four = home(1, *([False] * 40)), home(4, *([False] * 40))
    assert four.cells_seconds(members(40), VECTOR) < one.cells_seconds(members(40), VECTOR) / 3
