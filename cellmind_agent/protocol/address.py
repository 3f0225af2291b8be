"""Addresses of agents: HOST:PORT, or HOST:PORT/KEY to meet an unknown agent. Owns the spelling; resolves nothing."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.ids import printable
from cellmind_agent.protocol.limits import DEFAULT_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A TCP address, and the 32-byte public key of the agent there if it is known."""

    host: str
    port: int
    key: bytes | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def with_key(self) -> str:
        """HOST:PORT/KEY with the key in base32, which shells, chats and QR codes leave unchanged."""
        return f"{self}/{base64.b32encode(self.key).decode().lower().rstrip('=')}" if self.key else str(self)


def parse_address(text: str) -> Address:
    """Read HOST, HOST:PORT, IPV6 or [IPV6]:PORT, with or without /KEY. Raises UsageError."""
    stem, _, key_text = text.strip().partition("/")
    shown = printable(text, 100)
    if stem.startswith("["):
        host, closed, rest = stem[1:].partition("]")
        port_text = rest.removeprefix(":") if closed else "?"
    elif stem.count(":") > 1:
        host, port_text = stem, ""
    else:
        host, _, port_text = stem.partition(":")
    if not host or any(c.isspace() or c in "/@#?*" for c in host):
        raise UsageError("{text} is not an address", "write HOST:PORT, such as 192.168.0.5:7420", text=f"{shown!r}")
    try:
        port = int(port_text) if port_text else DEFAULT_PORT
    except ValueError:
        port = -1
    if not 0 <= port < 65536:
        raise UsageError("{text} has no valid port", "write HOST:PORT, such as 192.168.0.5:7420", text=f"{shown!r}")
    return Address(host=host, port=port, key=_parse_key(key_text, shown) if key_text else None)


def _parse_key(text: str, shown: str) -> bytes:
    try:
        key = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except ValueError:  # not base32, or not ASCII
        key = b""
    if len(key) != 32:
        raise UsageError(
            "{text} has a damaged key", "copy the whole line that `cellmindctl invite` printed", text=f"{shown!r}"
        )
    return key
