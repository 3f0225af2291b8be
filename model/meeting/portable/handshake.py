"""Connects every pair of ranks by one TCP stream on loopback, which agents carry. The greater rank dials."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Mapping
from typing import Protocol

from model.meeting.errors import MemberGoneError
from model.meeting.portable.transport import read_exactly

VERSION = 1
_LENGTH = struct.Struct("<I")
_MAX_HELLO_BYTES = 4096
_LOOPBACK = "127.0.0.1"


class MeetingStore(Protocol):
    """What a handshake needs: a store for all ranks, and a way to the loopback port of each."""

    def set(self, key: str, value: bytes) -> None:
        """Store `value` under `key`, for all ranks."""

    def get(self, key: str) -> bytes:
        """The value of `key`, when some rank has set it."""

    def expose(self, port: int) -> None:
        """Let other ranks reach this loopback port."""

    def forwarder(self, rank: int) -> int:
        """A loopback port that leads to the exposed port of `rank`."""


def connect(store: MeetingStore, rank: int, size: int, timeout_seconds: float) -> dict[int, socket.socket]:
    """An open stream to each other rank, by rank.

    Raises MemberGoneError with what differs, OSError and TimeoutError.
    """
    hello = {"portable": VERSION, "byteorder": sys.byteorder, "size": size}
    streams: dict[int, socket.socket] = {}
    if sys.byteorder != "little":
        raise MemberGoneError("the portable group needs a little-endian machine")
    with socket.create_server((_LOOPBACK, 0)) as listener:
        # 1. Introduce ourselves in the store, and read what the others say.
        store.expose(listener.getsockname()[1])
        store.set(f"portable/{rank}", json.dumps(hello).encode())
        for peer in range(size):
            if peer != rank:
                _compare(peer, hello, store.get(f"portable/{peer}"))
        try:
            # 2. Dial the ranks below ours.
            for peer in range(rank):
                stream = socket.create_connection((_LOOPBACK, store.forwarder(peer)), timeout_seconds)
                streams[peer] = stream
                _write_json(stream, {"rank": rank})
            # 3. Accept the ranks above ours.
            listener.settimeout(timeout_seconds)
            while len(streams) < size - 1:
                stream, _ = listener.accept()
                streams[_read_caller(stream, timeout_seconds, range(rank + 1, size), streams)] = stream
        except BaseException:
            for stream in streams.values():
                stream.close()
            raise
    for stream in streams.values():
        stream.settimeout(timeout_seconds)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return streams


def _compare(peer: int, ours: Mapping[str, object], introduction: bytes) -> None:
    """Compare our introduction with that of a peer. Raises MemberGoneError that names what differs."""
    theirs = _parse(introduction)
    differing = [
        f"{name} is {theirs.get(name)!r:.40} there and {value!r} here"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if differing:
        raise MemberGoneError(f"rank {peer} cannot work with us: {', '.join(differing)}; update CellMind on both")


def _read_caller(
    stream: socket.socket, timeout_seconds: float, expected: range, connected: Mapping[int, socket.socket]
) -> int:
    """The rank that dialled us. Raises MemberGoneError and OSError, after closing the stream."""
    try:
        stream.settimeout(timeout_seconds)
        caller = _read_json(stream).get("rank")
        if not isinstance(caller, int) or caller not in expected or caller in connected:
            raise MemberGoneError(f"an unexpected connection claims to be rank {caller!r:.20}")
        return caller
    except BaseException:
        stream.close()
        raise


def _write_json(stream: socket.socket, plain: Mapping[str, int]) -> None:
    data = json.dumps(plain).encode()
    stream.sendall(_LENGTH.pack(len(data)) + data)


def _read_json(stream: socket.socket) -> dict[str, object]:
    head = bytearray(_LENGTH.size)
    read_exactly(stream, memoryview(head), None)
    (length,) = _LENGTH.unpack(head)
    if length > _MAX_HELLO_BYTES:
        raise MemberGoneError(f"an introduction of {length} bytes exceeds the limit of {_MAX_HELLO_BYTES}")
    body = bytearray(length)
    read_exactly(stream, memoryview(body), None)
    return _parse(body)


def _parse(introduction: bytes | bytearray) -> dict[str, object]:
    try:
        plain = json.loads(introduction)
    except ValueError as error:
        raise MemberGoneError("an introduction is not JSON") from error
    if not isinstance(plain, dict):
        raise MemberGoneError("an introduction is not a JSON object")
    return plain
