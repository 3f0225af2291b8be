"""Tensors over byte streams: framing, sending in the background, receiving.

A frame is a header (magic number, operation, sequence number, length in bytes; little-endian) and the bytes of a tensor
as they lie in memory, of any dtype.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from model.meeting.errors import MemberGoneError

OPERATIONS = {"all_reduce": 1, "broadcast": 2, "all_gather": 3, "reduce_scatter": 4, "all_to_all": 5, "barrier": 6}
_MAGIC = 0x31504D43  # "CMP1"
_HEADER = struct.Struct("<IIQQ")


class Transport:
    """One stream to each other rank. All ranks go through the same operations in the same order."""

    def __init__(self, rank: int, streams: Mapping[int, socket.socket]) -> None:
        """`streams` are open connections by rank; `close` closes them."""
        self.rank, self.size, self.peers = rank, len(streams) + 1, tuple(sorted(streams))
        self._streams = dict(streams)
        self._senders = {peer: _Sender(stream) for peer, stream in streams.items()}
        self._sequence = 0

    def begin(self) -> None:
        """Start the next operation: its frames carry the next sequence number."""
        self._sequence += 1

    def send(self, operation: str, peer: int, flat: Tensor) -> None:
        """Queue a contiguous CPU tensor for `peer`. It must not change before `flush` returns."""
        self._senders[peer].put(self._header(operation, flat), flat)

    def send_now(self, operation: str, peer: int, flat: Tensor) -> None:
        """Send a small tensor from this thread. It blocks while the socket's buffer is full. Raises OSError."""
        self._streams[peer].sendall(self._header(operation, flat) + bytes(_bytes_of(flat)))

    def flush(self) -> None:
        """Wait until every queued tensor is written. Raises MemberGoneError."""
        for sender in self._senders.values():
            sender.flush()

    def receive(self, operation: str, peer: int, into: Tensor) -> None:
        """Fill a contiguous CPU tensor. Raises MemberGoneError when the peer is gone or sends a different frame."""
        stream = self._streams[peer]
        header = bytearray(_HEADER.size)
        read_exactly(stream, memoryview(header), peer)
        received, expected = _HEADER.unpack(header), self._fields(operation, into)
        if received != expected:
            _, number, sequence, length = received
            name = {number: name for name, number in OPERATIONS.items()}.get(number, "garbage")
            raise MemberGoneError(
                f"rank {peer} sent {name} number {sequence} of {length} bytes instead of "
                f"{operation} number {self._sequence} of {expected[3]} bytes"
            )
        read_exactly(stream, _bytes_of(into), peer)

    def cut(self) -> None:
        """Let every read and write fail at once, in other threads and on the other ranks too. `close` comes after."""
        for stream in self._streams.values():
            with contextlib.suppress(OSError):  # the other end may have closed it
                stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Write what is queued, then close every stream."""
        for sender in self._senders.values():
            sender.close()
        for stream in self._streams.values():
            stream.close()

    def _header(self, operation: str, flat: Tensor) -> bytes:
        return _HEADER.pack(*self._fields(operation, flat))

    def _fields(self, operation: str, flat: Tensor) -> tuple[int, int, int, int]:
        return _MAGIC, OPERATIONS[operation], self._sequence, flat.numel() * flat.element_size()


def read_exactly(stream: socket.socket, into: memoryview, peer: int | None) -> None:
    """Fill `into` from the stream of `peer` (None: not known yet). Raises MemberGoneError at its end, OSError."""
    while into:
        count = stream.recv_into(into)
        if not count:
            raise MemberGoneError(f"connection closed by {'an unknown rank' if peer is None else f'rank {peer}'}")
        into = into[count:]


class _Sender:
    """Writes to one peer in a thread of its own, so that this rank can receive meanwhile."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._queue: queue.SimpleQueue[tuple[bytes, Tensor] | threading.Event | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._is_idle = True
        self._thread = threading.Thread(target=self._run, name="portable sender", daemon=True)
        self._thread.start()

    def put(self, header: bytes, flat: Tensor) -> None:
        self._is_idle = False
        self._queue.put((header, flat))

    def flush(self) -> None:
        if not self._is_idle:
            written = threading.Event()
            self._queue.put(written)
            written.wait()
            self._is_idle = True
        if self._error:
            raise MemberGoneError(f"connection closed: {self._error}") from self._error

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif self._error is None:
                header, flat = item
                try:
                    self._stream.sendall(header)
                    self._stream.sendall(_bytes_of(flat))
                except OSError as error:
                    self._error = error


def _bytes_of(flat: Tensor) -> memoryview:
    """The memory of a contiguous CPU tensor, not a copy. numpy has no bfloat16, so the dtype becomes uint8 first."""
    return memoryview(cast(Any, flat.view(torch.uint8).numpy())).cast("B")
