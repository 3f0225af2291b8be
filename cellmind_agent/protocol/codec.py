"""Messages to bytes and back. The only file that knows msgpack. Knows no sockets.

An envelope is the msgpack array [version, kind, correlation, name, fields]. The version comes first and is read before
anything else, so a message of another version is named as such rather than misread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgpack

from cellmind_agent.protocol.errors import ProtocolError, VersionMismatchError
from cellmind_agent.protocol.limits import MAX_FRAME_BYTES, PROTOCOL_VERSION
from cellmind_agent.protocol.messages import MESSAGE_TYPES
from cellmind_agent.protocol.plain import from_plain, to_plain

Kind = Literal["request", "answer", "end"]
_KINDS: tuple[Kind, ...] = ("request", "answer", "end")
_MAX_ITEMS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message under way. `end` closes a stream and may carry a last message (Done, or Refused)."""

    kind: Kind
    correlation: int
    message: Any


def encode(envelope: Envelope) -> bytes:
    """Raises ProtocolError when the message does not fit into a frame."""
    data = msgpack.packb(
        [
            PROTOCOL_VERSION,
            _KINDS.index(envelope.kind),
            envelope.correlation,
            type(envelope.message).__name__,
            to_plain(envelope.message),
        ]
    )
    if len(data) > MAX_FRAME_BYTES:
        raise ProtocolError(
            f"{type(envelope.message).__name__} of {len(data)} bytes is over the {MAX_FRAME_BYTES} allowed"
        )
    return bytes(data)


def decode(data: bytes) -> Envelope:
    """Raises VersionMismatchError, ProtocolError. Any bytes at all may come in."""
    if len(data) > MAX_FRAME_BYTES:
        raise ProtocolError(f"a frame of {len(data)} bytes")
    try:
        plain = msgpack.unpackb(
            data,
            strict_map_key=True,
            max_array_len=_MAX_ITEMS,
            max_map_len=_MAX_ITEMS,
            max_ext_len=0,
        )
    except Exception as error:  # msgpack raises half a dozen unrelated types on hostile bytes
        raise ProtocolError(f"not a message: {type(error).__name__}") from error
    if not isinstance(plain, list) or not plain or not isinstance(plain[0], int):
        raise ProtocolError("not a message: no version")
    if plain[0] != PROTOCOL_VERSION:
        raise VersionMismatchError(f"the other side speaks protocol {plain[0]}, this one {PROTOCOL_VERSION}")
    if len(plain) != 5:
        raise ProtocolError("not a message: no envelope")
    _, kind, correlation, name, fields = plain
    if type(kind) is not int or not 0 <= kind < len(_KINDS) or type(correlation) is not int or type(name) is not str:
        raise ProtocolError("not a message: a bad envelope")
    message_type = MESSAGE_TYPES.get(name)
    if message_type is None:
        raise ProtocolError(f"unknown message {name!r:.60}")
    return Envelope(kind=_KINDS[kind], correlation=correlation, message=from_plain(message_type, fields))


def correlation_of(data: bytes) -> int | None:
    """The correlation number of bytes that `decode` refused, when there is one: so that the refusal can be answered."""
    try:
        plain = msgpack.unpackb(data)
    except Exception:  # hostile bytes, see decode
        return None
    number = plain[2] if isinstance(plain, list) and len(plain) > 2 else None
    return number if type(number) is int else None
