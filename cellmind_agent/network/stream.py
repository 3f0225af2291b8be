"""One byte stream of a tunnel: between a program on this machine's loopback and a channel.

    D data      bytes of the stream; never more than the other side has given credit for
    C credit    so many more bytes may follow (a little-endian u32): as many as the program here has taken
    E end       no more data this way; the other direction continues (half-close)
    X cut       the stream ends at once, in both directions

Credit bounds the memory that a stream can fill. A side is done when it has sent and received `E`, its program has taken
everything, and all that it sent has come back as credit: so no data is lost on the way. Then the side that dialled
closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

from cellmind_agent.network.channel import Channel
from cellmind_agent.protocol.errors import LinkLostError
from cellmind_agent.protocol.limits import STREAM_RETRY_SECONDS, TUNNEL_PIECE_BYTES, TUNNEL_WINDOW_BYTES

_DATA, _CREDIT, _END, _CUT = b"D", b"C", b"E", b"X"


class Stream:
    """Runs from its construction until it calls `ended`, once, in the event loop."""

    def __init__(self, local: socket.socket, channel: Channel, ended: Callable[[], None]) -> None:
        """`local` is connected and non-blocking; the stream owns it, and takes the frames that `channel` carries."""
        self._local, self._channel, self._ended = local, channel, ended
        self._loop = asyncio.get_running_loop()
        self._piece = memoryview(bytearray(TUNNEL_PIECE_BYTES))
        self._credit = TUNNEL_WINDOW_BYTES
        self._unwritten: deque[memoryview] = deque()  # for the program here
        self._num_unwritten = self._num_taken = 0
        self._unsent: deque[tuple[bytes, bytes]] = deque()  # while the channel is full
        self._has_sent_end = self._has_received_end = self._is_over = False
        self._is_reading = True
        self.sent_bytes = self.received_bytes = 0
        with contextlib.suppress(OSError):  # small messages of gloo must not wait to be merged
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.carries = self._hear
        channel.when_lost(self._finish)
        self._loop.add_reader(local.fileno(), self._read)

    def cut(self) -> None:
        """End the stream now; the program here sees its connection closed."""
        if not self._is_over:
            with contextlib.suppress(LinkLostError):
                self._channel.try_send([_CUT, b""])
            self._finish()

    # -- from the program to the channel -----------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            count = self._local.recv_into(self._piece[: self._credit])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.cut()
            return
        if not count:
            self._has_sent_end = True
            self._send(_END, b"")
            self._pause_or_read()
            self._close_if_done()
            return
        self._credit -= count
        self.sent_bytes += count
        self._send(_DATA, self._piece[:count])
        self._pause_or_read()

    def _send(self, kind: bytes, body: bytes | memoryview) -> None:
        """Send in order. A channel that is full (many small frames on a slow link) is tried again soon."""
        try:
            if self._unsent or not self._channel.try_send([kind, body]):
                self._unsent.append((kind, bytes(body)))
                if len(self._unsent) == 1:
                    self._loop.call_later(STREAM_RETRY_SECONDS, self._retry_send)
        except LinkLostError:
            self._finish()

    def _retry_send(self) -> None:
        try:
            while self._unsent and not self._is_over:
                if not self._channel.try_send(self._unsent[0]):
                    self._loop.call_later(STREAM_RETRY_SECONDS, self._retry_send)
                    return
                self._unsent.popleft()
        except LinkLostError:
            self._finish()
        self._pause_or_read()
        self._close_if_done()

    def _pause_or_read(self) -> None:
        """Read the program only while there is credit for its bytes and the channel has room."""
        may_read = self._credit > 0 and not self._unsent and not self._has_sent_end
        if self._is_over or may_read == self._is_reading:
            return
        self._is_reading = may_read
        if may_read:
            self._loop.add_reader(self._local.fileno(), self._read)
        else:
            self._loop.remove_reader(self._local.fileno())

    # -- from the channel to the program -----------------------------------------------------------------------------

    def _hear(self, frames: Sequence[memoryview]) -> None:
        if self._is_over:
            return
        kind, body = bytes(frames[0][:1]), frames[1]
        if kind == _DATA and not self._has_received_end:
            self._num_unwritten += len(body)
            self.received_bytes += len(body)
            if self._num_unwritten + self._num_taken > TUNNEL_WINDOW_BYTES:  # it sends more than its credit
                self.cut()
                return
            self._unwritten.append(body)
            if len(self._unwritten) == 1:
                self._write()
        elif kind == _CREDIT and len(body) == 4:
            self._give_credit(struct.unpack("<I", body)[0])
        elif kind == _END and not self._has_received_end:
            self._has_received_end = True
            self._write()
        else:
            self.cut()

    def _write(self) -> None:
        try:
            while self._unwritten:
                count = self._local.send(self._unwritten[0])
                self._num_unwritten -= count
                self._num_taken += count
                if count < len(self._unwritten[0]):
                    self._unwritten[0] = self._unwritten[0][count:]
                else:
                    self._unwritten.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._local.fileno(), self._write)
            self._return_credit(TUNNEL_WINDOW_BYTES // 4)
            return
        except OSError:
            self.cut()
            return
        self._loop.remove_writer(self._local.fileno())
        # Credit in small portions would cost a frame each; at the end everything is returned.
        self._return_credit(0 if self._has_received_end else TUNNEL_WINDOW_BYTES // 4)
        if self._has_received_end and not self._is_over:
            with contextlib.suppress(OSError):
                self._local.shutdown(socket.SHUT_WR)
            self._close_if_done()

    def _return_credit(self, above: int) -> None:
        if self._num_taken > above:
            taken, self._num_taken = self._num_taken, 0
            self._send(_CREDIT, struct.pack("<I", taken))

    def _give_credit(self, count: int) -> None:
        self._credit += count
        if self._credit > TUNNEL_WINDOW_BYTES:
            self.cut()
            return
        self._pause_or_read()
        self._close_if_done()

    # -- the end -----------------------------------------------------------------------------------------------------

    def _close_if_done(self) -> None:
        all_came_back = self._credit == TUNNEL_WINDOW_BYTES
        if self._has_sent_end and self._has_received_end and not self._unwritten and not self._unsent and all_came_back:
            self._finish()

    def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._channel.carries = None
        self._loop.remove_reader(self._local.fileno())
        self._loop.remove_writer(self._local.fileno())
        self._local.close()
        self._unwritten.clear()
        self._ended()
