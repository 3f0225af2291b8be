"""Messages to bytes and back. The only file that knows msgpack. Knows no sockets.

An envelope is the msgpack array [version, kind, correlation, name, fields]. The version comes first and is read before
anything else, so that a message of another version is refused as such and never misread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgpack

from cellmind_agent.protocol.errors import ProtocolError, VersionMismatchError
from cellmind_agent.protocol.limits import MAX_FRAME_BYTES, MAX_LIST_ITEMS, PROTOCOL_VERSION
from cellmind_agent.protocol.messages import MESSAGE_TYPES, REQUESTS
from cellmind_agent.protocol.plain import from_plain, to_plain

Kind = Literal["request", "answer", "end"]
_KINDS: tuple[Kind, ...] = ("request", "answer", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One message on its way. `end` closes an exchange and carries its last message: an answer, Done or Refused."""

    kind: Kind
    correlation: int
    message: object


def encode(envelope: Envelope) -> bytes:
    """The frame of an envelope. Raises ProtocolError if it is larger than its kind of message may be."""
    data = msgpack.packb(
        [
            PROTOCOL_VERSION,
            _KINDS.index(envelope.kind),
            envelope.correlation,
            type(envelope.message).__name__,
            to_plain(envelope.message),
        ]
    )
    _check_size(len(data), envelope.kind, type(envelope.message))
    return bytes(data)


def decode(data: bytes) -> Envelope:
    """The envelope of a frame. Raises VersionMismatchError, ProtocolError; `data` may be any bytes at all."""
    if len(data) > MAX_FRAME_BYTES:
        raise ProtocolError("a frame of {num_data} bytes is too large", num_data=len(data))
    try:
        plain = msgpack.unpackb(
            data,
            strict_map_key=True,
            max_array_len=MAX_LIST_ITEMS,
            max_map_len=MAX_LIST_ITEMS,
            max_ext_len=0,
        )
    except Exception as error:  # msgpack raises half a dozen unrelated types on hostile bytes
        raise ProtocolError("not a message: {what}", what=type(error).__name__) from error
    if not isinstance(plain, list) or not plain or not isinstance(plain[0], int):
        raise ProtocolError("not a message: no version")
    if plain[0] != PROTOCOL_VERSION:
        raise VersionMismatchError(
            "the other side speaks protocol {other}, this one {own}",
            other=plain[0],
            own=PROTOCOL_VERSION,
        )
    if len(plain) != 5:
        raise ProtocolError("not a message: no envelope")
    return _envelope(plain, len(data))


def correlation_of(data: bytes) -> int | None:
    """The correlation number of a frame that `decode` refused, if it has one: the refusal can then be answered."""
    try:
        plain = msgpack.unpackb(data)
    except Exception:  # hostile bytes, see decode
        return None
    number = plain[2] if isinstance(plain, list) and len(plain) > 2 else None
    return number if type(number) is int else None


def _envelope(plain: list[Any], num_bytes: int) -> Envelope:
    _, kind, correlation, name, fields = plain
    if type(kind) is not int or not 0 <= kind < len(_KINDS) or type(correlation) is not int or type(name) is not str:
        raise ProtocolError("not a message: a bad envelope")
    message_type = MESSAGE_TYPES.get(name)
    if message_type is None:
        raise ProtocolError("unknown message {name}", name=f"{name!r:.60}")
    _check_size(num_bytes, _KINDS[kind], message_type)
    return Envelope(kind=_KINDS[kind], correlation=correlation, message=from_plain(message_type, fields))


def _check_size(num_bytes: int, kind: Kind, message_type: type) -> None:
    declared = REQUESTS.get(message_type) if kind == "request" else None
    max_bytes = declared.max_bytes if declared else MAX_FRAME_BYTES
    if num_bytes > max_bytes:
        raise ProtocolError(
            "{what} of {num_bytes} bytes; at most {max_bytes} are allowed",
            what=message_type.__name__,
            num_bytes=num_bytes,
            max_bytes=max_bytes,
        )
