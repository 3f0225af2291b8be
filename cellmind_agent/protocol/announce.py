"""What mDNS announces of a device. Owns the TXT record; knows no zeroconf.

`v` protocol version, `id` device id, `k` public curve key (Z85), `c` cell tag (a hash that differs between cells), `n`
nameplate of the open invitation, if there is one. No names and no figures: guests on the Wi-Fi read this too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cellmind_agent.protocol.errors import BadIdError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId, parse_device_id
from cellmind_agent.protocol.limits import MAX_TXT_VALUE_BYTES, PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """Where a device claims to be, and which one: a hint, until CURVE has proved the key."""

    device: DeviceId
    curve_key: str
    cell_tag: str
    nameplate: str | None = None
    version: int = PROTOCOL_VERSION


def to_txt(announcement: Announcement) -> dict[str, str]:
    """The properties of the TXT record."""
    txt = {
        "v": str(announcement.version),
        "id": announcement.device,
        "k": announcement.curve_key,
        "c": announcement.cell_tag,
    }
    if announcement.nameplate:
        txt["n"] = announcement.nameplate
    return txt


def from_txt(properties: Mapping[bytes, bytes | None]) -> Announcement:
    """Read a TXT record. Raises ProtocolError, because anybody on the network can announce anything."""
    text = {
        key.decode("ascii", "replace"): (data or b"").decode("ascii", "replace")
        for key, data in properties.items()
        if len(data or b"") <= MAX_TXT_VALUE_BYTES
    }
    try:
        device = parse_device_id(text["id"])
        version = int(text["v"])
        curve_key = text["k"]
    except (KeyError, ValueError, BadIdError) as error:
        raise ProtocolError("the announcement is not one of CellMind") from error
    if len(curve_key) != 40:
        raise ProtocolError("the announcement has no key")
    nameplate = text.get("n") or None
    if nameplate is not None and not nameplate.isdigit():
        raise ProtocolError("the announcement has a bad nameplate")
    return Announcement(
        device=device, curve_key=curve_key, cell_tag=text.get("c", ""), nameplate=nameplate, version=version
    )


def cell_tag(cell: bytes) -> str:
    """8 hexadecimal digits that differ between cells and reveal nothing about the cell (`cell`: hash of entry 0)."""
    return hashlib.sha256(b"cellmind-tag-1" + cell).hexdigest()[:8]
