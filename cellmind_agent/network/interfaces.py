"""The network interfaces of this machine, and which of them may speak mDNS: those of a local network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ifaddr

# Bridges and virtual switches of containers and hypervisors, Apple's peer-to-peer radios: no person's device is there.
_NOT_A_LAN = re.compile(r"^(lo\d*|docker|br-|veth|virbr|vmnet|vboxnet|awdl|llw|utun|tun|tap|wg|tailscale|zt|ifb)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One IPv4 address of an interface."""

    name: str
    address: str


def choose_interfaces(found: Iterable[Interface], wanted: Sequence[str]) -> tuple[Interface, ...]:
    """The interfaces whose name or address is in `wanted`; if `wanted` is empty, all that look like a local network."""
    if wanted:
        return tuple(i for i in found if i.name in wanted or i.address in wanted)
    return tuple(i for i in found if not _NOT_A_LAN.match(i.name) and not i.address.startswith(("127.", "169.254.")))


def read_interfaces() -> tuple[Interface, ...]:
    """Every IPv4 address of this machine, with its interface."""
    return tuple(
        Interface(name=adapter.nice_name, address=address.ip)
        for adapter in ifaddr.get_adapters()
        for address in adapter.ips
        if isinstance(address.ip, str)
    )
