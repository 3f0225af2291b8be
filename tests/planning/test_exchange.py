"""How long an average takes over a network, and whether one member in the middle makes it shorter."""

import pytest

from cellmind_agent.planning.exchange import MeasuredNetwork, best_averaging, is_shared_medium
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember

RATE = 1e6
VECTOR = 3e6


def member(name: str, host: str = "") -> RosterMember:
    return RosterMember(device=DeviceId(name * 32), name=name, host=host or name)


A, B, C = ABC = [member(name) for name in "abc"]


def network(is_shared: bool, wired: RosterMember | None = None) -> MeasuredNetwork:
    """Devices on Wi-Fi send by way of the access point, which takes twice as long unless one of them has a cable."""
    pairs = [(one, other) for one in ABC for other in ABC if one is not other]
    rates = {
        (one.device, other.device): RATE / (1 if not wired or wired in (one, other) else 2) for one, other in pairs
    }
    return MeasuredNetwork(rates=rates, is_shared=is_shared)


def test_on_a_switch_each_member_averages_a_part() -> None:
    averaging = best_averaging(ABC, VECTOR, network(is_shared=False))
    assert averaging
    assert averaging.center is None
    assert averaging.seconds == pytest.approx(2 * 2 / 3 * VECTOR / RATE)  # what each sends, on its own cable


def test_a_shared_medium_carries_everything_one_after_the_other() -> None:
    averaging = best_averaging(ABC, VECTOR, network(is_shared=True))
    assert averaging
    assert averaging.center is None  # a star through one of equals is no shorter
    assert averaging.seconds == pytest.approx(2 * 2 * VECTOR / RATE)


def test_on_wi_fi_a_device_with_a_cable_is_the_middle_of_a_star() -> None:
    averaging = best_averaging(ABC, VECTOR, network(is_shared=True, wired=B))
    assert averaging
    assert averaging.center == B
    assert averaging.seconds == pytest.approx(2 * 2 * VECTOR / RATE)  # each byte crosses the air once
    parts = network(is_shared=True, wired=B).parts_seconds(ABC, VECTOR)
    assert parts == pytest.approx((4 + 2 * 2) * 2 / 3 * VECTOR / RATE)


def test_members_of_one_machine_exchange_at_once() -> None:
    here = [member("a", "host"), member("b", "host")]
    averaging = best_averaging(here, VECTOR, MeasuredNetwork(rates={}))
    assert averaging
    assert averaging.seconds == 0


def test_an_unknown_rate_makes_no_time() -> None:
    assert best_averaging(ABC, VECTOR, MeasuredNetwork(rates={(A.device, B.device): RATE})) is None
    assert MeasuredNetwork(rates={}).ring_seconds(ABC, VECTOR) is None
    assert MeasuredNetwork(rates={}).ring_seconds([A], VECTOR) == 0


def test_gradients_go_around_a_ring() -> None:
    assert network(is_shared=False).ring_seconds(ABC, VECTOR) == pytest.approx(2 * 2 / 3 * VECTOR / RATE)
    assert network(is_shared=True).ring_seconds(ABC, VECTOR) == pytest.approx(2 * 2 * VECTOR / RATE)


def test_devices_that_slow_each_other_down_share_a_medium() -> None:
    assert is_shared_medium([35.0, 35.0, 35.0], [12.0, 11.0, 12.0])
    assert not is_shared_medium([100.0, 100.0, 100.0], [95.0, 90.0, 99.0])
