"""gloo's addresses are parsed, and those that another rank reads lead to its agent's forwarders."""

import socket
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.line.declare import Call, Done
from model.line.meeting import ExposePort, ForwarderOpened, OpenForwarder, StoreGet, StoreSet, StoreValue
from model.meeting.gloo import GlooAddress, GlooStore, is_gloo_address, ports_before
from model.meeting.gloo_probe import probe_gloo


def address(port: int, host: str = "laptop", family: int = socket.AF_INET, rest: bytes = b"garbage") -> bytes:
    place = struct.pack("=H", family) + struct.pack(">H", port) + socket.inet_aton("127.0.0.1")
    name = host.encode()
    body = place + rest.ljust(120, b"?") + struct.pack("=Q", 7)
    return struct.pack("=Q", len(name)) + name + struct.pack("=Q", 136) + body + bytes(16)


class FakeAgent:
    """An agent that holds the store and opens every forwarder at port 100."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values = values
        self.calls: list[Call[Any]] = []

    def ask(self, call: Call[Any], seconds: float) -> Any:
        self.calls.append(call)
        match call:
            case StoreSet(key=key, data=data):
                self.values[key] = data
            case StoreGet(keys=keys):
                return StoreValue(data=self.values[keys[0]])
            case OpenForwarder():
                return ForwarderOpened(port=100)
        return Done()


@given(st.integers(1, 65535), st.text(max_size=30))
def test_another_port_changes_nothing_else_and_drops_leftover_bytes(port: int, host: str) -> None:
    parsed = GlooAddress.parse(address(port, host))
    assert parsed.port == port
    changed = parsed.with_port(1234)
    assert len(changed) == len(address(port, host))
    assert b"garbage" not in changed
    assert GlooAddress.parse(changed).port == 1234


@pytest.mark.parametrize(
    "value",
    [b"", bytes(200), address(7)[:100], address(7, family=socket.AF_INET6), struct.pack("=Q", 1 << 60) + bytes(200)],
)
def test_another_layout_is_an_error_and_not_a_guess(value: bytes) -> None:
    with pytest.raises(ValueError, match="gloo's address"):
        GlooAddress.parse(value)


def test_each_rank_dials_forwarders_to_the_ranks_below_it() -> None:
    shared: dict[str, bytes] = {}
    agents = [FakeAgent(shared) for _ in range(3)]
    stores: list[Any] = [GlooStore(agents[rank], rank, 1.0) for rank in range(3)]
    for rank, store in enumerate(stores):
        store.set(f"pg//cpu//0/{rank}", address(5000 + rank))
    assert ExposePort(port=5001) in agents[1].calls
    seen = [GlooAddress.parse(stores[1].get(f"pg//cpu//0/{rank}")).port for rank in range(3)]
    assert seen == [100, 5001, 65535]
    (opened,) = (call for call in agents[1].calls if isinstance(call, OpenForwarder))
    assert opened.rank == 0
    assert 100 < len(opened.ports) <= 200
    assert all(sort_as_gloo(port) < sort_as_gloo(5001) for port in opened.ports)


def test_ranks_on_the_same_loopback_meet_without_agents() -> None:
    shared: dict[str, bytes] = {}
    one: Any = GlooStore(FakeAgent(shared), 0, 1.0, frozenset({1}))
    two: Any = GlooStore(FakeAgent(shared), 1, 1.0, frozenset({0}))
    one.set("0/0", address(5000))
    two.set("0/1", address(5001))
    assert [GlooAddress.parse(two.get(f"0/{rank}")).port for rank in (0, 1)] == [5000, 5001]
    assert [GlooAddress.parse(one.get(f"0/{rank}")).port for rank in (0, 1)] == [5000, 5001]
    one.expose(6000)
    assert two.forwarder(0) == 6000


def sort_as_gloo(port: int) -> bytes:
    return struct.pack(">H", port)[::-1] if sys.byteorder == "little" else struct.pack(">H", port)


@given(st.integers(32768, 60999))
def test_ports_for_forwarders_sort_before_ours_and_prefer_the_dynamic_range(port: int) -> None:
    ports = ports_before(port)
    assert all(sort_as_gloo(other) < sort_as_gloo(port) for other in ports)
    assert ports == sorted(ports, key=lambda other: other < 49152)


def test_a_port_that_sorts_first_of_all_has_no_forwarder() -> None:
    with pytest.raises(ValueError, match="gloo sorts no unprivileged port before"):
        ports_before(1024)


def test_only_long_values_under_a_rank_are_addresses() -> None:
    assert is_gloo_address("pg//cpu//0/1", address(1))
    assert not is_gloo_address("pg//cpu//0/1", b"short")
    assert not is_gloo_address("portable/one", address(1))


def test_the_probe_passes_where_gloo_works() -> None:
    probe_gloo()
