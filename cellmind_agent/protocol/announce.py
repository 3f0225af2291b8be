"""What mDNS says of a device: small, public, and only a hint. Knows the TXT record, not zeroconf.

`v` protocol version, `id` device id, `k` public curve key (Z85), `c` cell tag (a hash: tells own cell from another),
`n` nameplate of an open invitation, if one is open. No name, no figures: a guest on the Wi-Fi reads this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from cellmind_agent.protocol.errors import BadIdError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId, parse_device_id
from cellmind_agent.protocol.limits import PROTOCOL_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    device: DeviceId
    curve_key: str
    cell_tag: str
    nameplate: str | None = None
    version: int = PROTOCOL_VERSION


def to_txt(announcement: Announcement) -> dict[str, str]:
    """The TXT record's properties."""
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
    """Raises ProtocolError: anybody on the network can announce anything."""
    text = {
        key.decode("ascii", "replace"): (data or b"").decode("ascii", "replace")
        for key, data in properties.items()
        if len(data or b"") <= 64
    }
    try:
        device = parse_device_id(text["id"])
        version = int(text["v"])
        curve_key = text["k"]
    except (KeyError, ValueError, BadIdError) as error:
        raise ProtocolError("not an announcement of ours") from error
    if len(curve_key) != 40:
        raise ProtocolError("an announcement without a key")
    nameplate = text.get("n") or None
    if nameplate is not None and not nameplate.isdigit():
        raise ProtocolError("an announcement with a bad nameplate")
    return Announcement(
        device=device, curve_key=curve_key, cell_tag=text.get("c", ""), nameplate=nameplate, version=version
    )


def cell_tag(cell: bytes) -> str:
    """A short public name of a cell; two cells differ, and nothing of the cell can be read from it."""
    return hashlib.sha256(b"cellmind-tag-1" + cell).hexdigest()[:8]
