"""Where each member may be reached: hints, best first, each with its source. Kept on disk as `addresses.json`.

Knows no sockets. An address is only believed when the member's key has answered there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_ADDRESSES_PER_MEMBER
from cellmind_agent.storage.files import read_json, write_json

# cached: a link stood there before the restart; mdns, unicast: announced; gossip: another member reported it;
# inbound: the member dialled us and named its port; asked: a person gave it (`--peer`, `connect`).
AddressSource = Literal["cached", "mdns", "unicast", "gossip", "inbound", "asked"]
# Least trusted first: these are dropped first, because a guest on the network can forge announcements.
_TRUST: tuple[AddressSource, ...] = ("mdns", "unicast", "gossip", "inbound", "cached", "asked")


class AddressBook:
    """The addresses of every member."""

    def __init__(self, home: Path) -> None:
        self._path = home / "addresses.json"
        self._cached = self._load()
        self._known: dict[DeviceId, dict[Address, AddressSource]] = {}

    def open(self, device: DeviceId) -> None:
        """Start to keep this member's addresses, with those that the file has."""
        self._known[device] = dict.fromkeys(self._cached.get(device, ()), "cached")

    def close(self, device: DeviceId) -> None:
        """Forget this member's addresses."""
        self._known.pop(device, None)

    def of(self, device: DeviceId) -> dict[Address, AddressSource]:
        """The member's addresses with their sources, best first."""
        return self._known.get(device, {})

    def learn(self, device: DeviceId, addresses: Iterable[Address], source: AddressSource) -> bool:
        """Add addresses; True if any is new. An address keeps the most trusted source that gave it."""
        known = self._known[device]
        before = set(known)
        for address in addresses:
            known[address] = max(known.get(address, source), source, key=_TRUST.index)
        while len(known) > MAX_ADDRESSES_PER_MEMBER:
            # Never the first: there the member has answered, whatever source gave the address.
            del known[min(list(known)[1:], key=lambda address: _TRUST.index(known[address]))]
        return not before.issuperset(known)

    def prefer(self, device: DeviceId, address: Address) -> None:
        """Put first the address where the member has answered, also after a restart."""
        known = self._known[device]
        self._known[device] = {address: known.get(address, "asked"), **known}
        self.save()

    def save(self) -> None:
        """Write the file, if the disk allows it."""
        plain = {device: [str(address) for address in known] for device, known in self._known.items()}
        with contextlib.suppress(CellmindError, OSError):  # the network gives a lost hint again
            write_json(self._path, plain)

    def _load(self) -> dict[DeviceId, list[Address]]:
        plain = read_json(self._path)
        found: dict[DeviceId, list[Address]] = {}
        if isinstance(plain, dict):
            for device, texts in plain.items():
                with contextlib.suppress(UsageError, TypeError, AttributeError):
                    found[DeviceId(device)] = [parse_address(text) for text in texts][:MAX_ADDRESSES_PER_MEMBER]
        return found
