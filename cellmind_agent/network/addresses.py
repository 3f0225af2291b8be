"""Where members may be: hints, each with the rung of the discovery ladder that gave it, best first. Kept on disk.

Knows no sockets. An address is believed only when the member's key has answered there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.storage.files import read_json, write_json

Rung = Literal["cached", "mdns", "unicast", "told", "inbound", "asked"]
_MAX_ADDRESSES = 8
_TRUST: tuple[Rung, ...] = ("mdns", "unicast", "told", "inbound", "cached", "asked")  # a guest's lies go first


class AddressBook:
    """The addresses of every member."""

    def __init__(self, home: Path) -> None:
        self._path = home / "addresses.json"
        self._cached = self._load()
        self._found: dict[DeviceId, dict[Address, Rung]] = {}

    def open(self, device: DeviceId) -> None:
        """Begin with what is known from before."""
        self._found[device] = dict.fromkeys(self._cached.get(device, ()), "cached")

    def close(self, device: DeviceId) -> None:
        self._found.pop(device, None)

    def of(self, device: DeviceId) -> dict[Address, Rung]:
        """Best first."""
        return self._found.get(device, {})

    def learn(self, device: DeviceId, addresses: Iterable[Address], rung: Rung) -> bool:
        """Is there anything new in it? An address keeps the most trusted rung that gave it."""
        known = self._found[device]
        before = set(known)
        for address in addresses:
            known[address] = max(known.get(address, rung), rung, key=_TRUST.index)
        while len(known) > _MAX_ADDRESSES:
            del known[min(known, key=lambda address: _TRUST.index(known[address]))]
        return not before.issuperset(known)

    def prefer(self, device: DeviceId, address: Address) -> None:
        """It answered there: try that first next time, also after a restart."""
        known = self._found[device]
        self._found[device] = {address: known.get(address, "asked"), **known}
        self.save()

    def save(self) -> None:
        plain = {device: [str(address) for address in known] for device, known in self._found.items()}
        with contextlib.suppress(CellmindError, OSError):  # a hint lost to a full disk is found again
            write_json(self._path, plain)

    def _load(self) -> dict[DeviceId, list[Address]]:
        plain = read_json(self._path)
        found: dict[DeviceId, list[Address]] = {}
        if isinstance(plain, dict):
            for device, texts in plain.items():
                with contextlib.suppress(UsageError, TypeError, AttributeError):
                    found[DeviceId(device)] = [parse_address(text) for text in texts][:_MAX_ADDRESSES]
        return found
