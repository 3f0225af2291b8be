"""`--listen` is believed: an agent on one address is announced there, gives that address, and no other."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from cellmind_agent.config import AgentConfig
from cellmind_agent.network import own_addresses
from cellmind_agent.network.interfaces import Interface, choose_interfaces
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.own_addresses import OwnAddresses
from cellmind_agent.protocol.address import parse_address
from cellmind_agent.protocol.errors import UsageError

FOUND = (
    Interface(name="lo", address="127.0.0.1"),
    Interface(name="wlan0", address="192.168.0.5"),
    Interface(name="eth0", address="10.0.0.5"),
    Interface(name="eth0", address="10.0.0.6"),
)
LISTENER = cast(Listener, SimpleNamespace(port=7420))


def config(listen: str, *interfaces: str) -> AgentConfig:
    return AgentConfig(home=Path("home"), name="one", listen=parse_address(listen), interfaces=interfaces)


@pytest.mark.parametrize(
    ("listen", "interfaces", "announced"),
    [
        ("0.0.0.0", (), ["192.168.0.5", "10.0.0.5", "10.0.0.6"]),
        ("0.0.0.0", ("eth0",), ["10.0.0.5", "10.0.0.6"]),
        ("0.0.0.0", ("lo",), ["127.0.0.1"]),
        ("[::]:7420", ("wlan0",), ["192.168.0.5"]),
        ("127.0.0.1", (), ["127.0.0.1"]),
        ("localhost", (), ["127.0.0.1"]),
        ("10.0.0.6", (), ["10.0.0.6"]),
        ("10.0.0.6", ("wlan0",), ["10.0.0.6"]),
        ("[::1]:7420", (), []),  # mDNS here speaks IPv4
    ],
)
def test_an_agent_is_announced_where_it_listens(listen: str, interfaces: tuple[str, ...], announced: list[str]) -> None:
    chosen = choose_interfaces(FOUND, config(listen, *interfaces).announced_interfaces)
    assert [interface.address for interface in chosen] == announced


@pytest.mark.parametrize(
    ("listen", "given", "local"),
    [
        ("0.0.0.0", ["192.168.0.5:7420", "10.0.0.5:7420", "10.0.0.6:7420"], "127.0.0.1:7420"),
        ("10.0.0.6", ["10.0.0.6:7420"], "10.0.0.6:7420"),
        ("127.0.0.1", ["127.0.0.1:7420"], "127.0.0.1:7420"),
        ("[::1]:7420", ["[::1]:7420"], "[::1]:7420"),
    ],
)
def test_an_agent_gives_others_the_address_that_it_listens_on(
    monkeypatch: pytest.MonkeyPatch, listen: str, given: list[str], local: str
) -> None:
    monkeypatch.setattr(own_addresses, "read_interfaces", lambda: FOUND)
    wanted = config(listen)
    addresses = OwnAddresses(LISTENER, wanted.listen.host, b"k" * 32, wanted.announced_interfaces)
    assert [str(address) for address in addresses.current()] == given
    assert str(addresses.local()) == local


@pytest.mark.parametrize("listen", ["eth0", "my-laptop.local:7420"])
def test_the_name_of_an_interface_or_a_host_is_no_address_to_listen_on(listen: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        config(listen)
