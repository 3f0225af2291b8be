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

OPERATIONS = {
    "all_reduce": 1,
    "broadcast": 2,
    "all_gather": 3,
    "reduce_scatter": 4,
    "all_to_all": 5,
    "barrier": 6,
    "message": 7,  # from one rank to one other
}
_MAGIC = 0x31504D43  # "CMP1"
_HEADER = struct.Struct("<IIQQ")


class Transport:
    """One stream to each other rank. All ranks go through the same collective operations in the same order.

    Messages have a count of their own in each direction of a stream, since other ranks do not know of them.
    """

    def __init__(self, rank: int, streams: Mapping[int, socket.socket]) -> None:
        """`streams` are open connections by rank; `close` closes them."""
        self.rank, self.size, self.peers = rank, len(streams) + 1, tuple(sorted(streams))
        self._streams = dict(streams)
        self._senders = {peer: _Sender(stream) for peer, stream in streams.items()}
        self._sequence = 0
        self._num_sent, self._num_received = dict.fromkeys(streams, 0), dict.fromkeys(streams, 0)

    def begin(self) -> None:
        """Start the next collective operation: its frames carry the next sequence number."""
        self._sequence += 1

    def send(self, operation: str, peer: int, flat: Tensor) -> None:
        """Queue a contiguous CPU tensor for `peer`. It must not change before `flush` returns."""
        self._senders[peer].put(_header(operation, self._sequence, flat), flat)

    def send_message(self, peer: int, flat: Tensor) -> None:
        """`send` for the next message to `peer`."""
        self._num_sent[peer] += 1
        self._senders[peer].put(_header("message", self._num_sent[peer], flat), flat)

    def send_now(self, operation: str, peer: int, flat: Tensor) -> None:
        """Send a small tensor from this thread. It blocks while the socket's buffer is full. Raises OSError."""
        self._streams[peer].sendall(_header(operation, self._sequence, flat) + bytes(_bytes_of(flat)))

    def flush(self) -> None:
        """Wait until every queued tensor is written. Raises MemberGoneError."""
        for sender in self._senders.values():
            sender.flush()

    def receive(self, operation: str, peer: int, into: Tensor) -> None:
        """Fill a contiguous CPU tensor. Raises MemberGoneError when the peer is gone or sends a different frame."""
        self._receive(operation, self._sequence, peer, into)

    def receive_message(self, peer: int, into: Tensor) -> None:
        """`receive` for the next message from `peer`."""
        self._num_received[peer] += 1
        self._receive("message", self._num_received[peer], peer, into)

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

    def _receive(self, operation: str, sequence: int, peer: int, into: Tensor) -> None:
        stream = self._streams[peer]
        header = bytearray(_HEADER.size)
        read_exactly(stream, memoryview(header), peer)
        if header != (expected := _header(operation, sequence, into)):
            found, wanted = (_in_words(each) for each in (header, expected))
            raise MemberGoneError(f"rank {peer} sent {found} instead of {wanted}")
        read_exactly(stream, _bytes_of(into), peer)


def _header(operation: str, sequence: int, flat: Tensor) -> bytes:
    return _HEADER.pack(_MAGIC, OPERATIONS[operation], sequence, flat.numel() * flat.element_size())


def _in_words(header: bytes | bytearray) -> str:
    _, number, sequence, length = _HEADER.unpack(header)
    name = {number: name for name, number in OPERATIONS.items()}.get(number, "garbage")
    return f"{name} number {sequence} of {length} bytes"


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
