"""What is measured before a run: the links one by one where it matters, and whether all share one medium."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from cellmind_agent.planning.forecast import Work
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnreachableError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember
from cellmind_ctl.client import Client
from cellmind_ctl.measuring import measure_network

WORK = Work(weights=4_000_000, step_tokens=2048)
A, B, C = ABC = [RosterMember(device=DeviceId(name * 32), name=name, host=name) for name in "abc"]
FAST, SLOW = 1e9, 4e6
Pair = tuple[DeviceId, DeviceId]


class FakeClient:
    """Devices that send at the rate of a pair, divided by how many send at once if they share a medium."""

    def __init__(self, rate: Callable[[DeviceId, DeviceId], float], is_shared: bool) -> None:
        self._rate, self._is_shared = rate, is_shared
        self.asked: list[list[Pair]] = []

    def request_all(self, requests: Mapping[DeviceId, m.ProbeRate], seconds: float) -> dict[DeviceId, Any]:
        self.asked.append([(device, request.device) for device, request in requests.items()])
        answers: dict[DeviceId, Any] = {}
        for device, request in requests.items():
            rate = self._rate(device, request.device) / (len(requests) if self._is_shared else 1)
            answers[device] = m.RateProbed(bytes_per_second=rate) if rate else UnreachableError("gone")
        return answers

    @property
    def num_alone(self) -> int:
        return sum(len(pairs) == 1 for pairs in self.asked)


def client(rate: float | Callable[[DeviceId, DeviceId], float], is_shared: bool = False) -> tuple[FakeClient, Client]:
    fake = FakeClient(rate if callable(rate) else lambda one, other: rate, is_shared)
    return fake, cast(Client, fake)


def test_members_of_one_machine_send_nothing() -> None:
    fake, asked = client(0.0)
    here = [RosterMember(device=member.device, name=member.name, host="one") for member in ABC]
    network = measure_network(asked, here, WORK)
    assert network
    assert network.parts_seconds(here, 1e6) == 0
    assert not fake.asked


def test_on_a_fast_network_the_links_are_not_measured_one_by_one() -> None:
    fake, asked = client(FAST)
    network = measure_network(asked, ABC, WORK)
    assert network
    assert fake.num_alone == 0
    assert network.slowest_rate == FAST
    assert not network.is_shared


@pytest.mark.parametrize("is_shared", [True, False])
def test_on_a_slow_network_all_links_are_measured(is_shared: bool) -> None:
    fake, asked = client(SLOW, is_shared)
    network = measure_network(asked, ABC, WORK)
    assert network
    assert network.is_shared == is_shared
    assert fake.num_alone == 6
    assert set(network.rates) == {(one.device, other.device) for one in ABC for other in ABC if one != other}
    assert network.slowest_rate == SLOW


def test_without_an_answer_of_a_device_that_should_send_the_network_is_unknown() -> None:
    assert measure_network(client(lambda one, other: 0.0 if one == B.device else SLOW)[1], ABC, WORK) is None
    assert measure_network(client(0.0)[1], [A, B], WORK) is None


def test_if_a_link_cannot_be_measured_alone_what_all_reached_at_once_counts() -> None:
    ring = {(A.device, B.device), (B.device, C.device), (C.device, A.device)}
    network = measure_network(client(lambda one, other: SLOW if (one, other) in ring else 0.0)[1], ABC, WORK)
    assert network
    assert network.slowest_rate == SLOW


def test_devices_of_one_machine_have_its_rates() -> None:
    fake, asked = client(lambda one, other: SLOW if C.device in (one, other) else FAST)
    beside = RosterMember(device=DeviceId("d" * 32), name="d", host=C.host)
    network = measure_network(asked, [*ABC, beside], WORK)
    assert network
    assert all(DeviceId("d" * 32) not in pair for pairs in fake.asked for pair in pairs)
    assert network.rates[beside.device, A.device] == network.rates[C.device, A.device] == SLOW
    assert network.rates[A.device, B.device] == FAST
    assert (beside.device, C.device) not in network.rates


def test_many_devices_are_measured_around_the_ring_alone() -> None:
    many = [RosterMember(device=DeviceId(name * 32), name=name, host=name) for name in "abcdefg"]
    fake, asked = client(SLOW, is_shared=True)
    network = measure_network(asked, many, WORK)
    assert network
    assert fake.num_alone == 7
    assert len(network.rates) == 42
