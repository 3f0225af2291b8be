"""One byte stream between a program on our loopback and a channel. Credit keeps it from filling anybody's memory.

    D data      bytes of the stream; never more than the other side has given credit for
    C credit    so many bytes more may come (a little-endian u32): as many as the program here has taken
    E end       no more data this way; the other way goes on (half-close)
    X cut       it is over at once, both ways

A side is done when it has sent and heard `E`, its program has taken everything, and all it sent has come back as
credit: so nothing is cut off that was on its way. Then the dialler closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence

from cellmind_agent.network.wire import Channel
from cellmind_agent.protocol.errors import LinkLostError
from cellmind_agent.protocol.limits import TUNNEL_PIECE_BYTES, TUNNEL_WINDOW_BYTES

_AGAIN_SECONDS = 0.005
_DATA, _CREDIT, _END, _CUT = b"D", b"C", b"E", b"X"


class Stream:
    """Runs from its making until `ended` is called, which happens once, in the loop."""

    def __init__(self, local: socket.socket, channel: Channel, ended: Callable[[], None]) -> None:
        """`local` is connected and non-blocking; the stream owns it, and the frames that `channel` carries."""
        self._local, self._channel, self._ended = local, channel, ended
        self._loop = asyncio.get_running_loop()
        self._piece = memoryview(bytearray(TUNNEL_PIECE_BYTES))
        self._credit = TUNNEL_WINDOW_BYTES
        self._waiting: deque[memoryview] = deque()  # for the program here
        self._num_waiting = self._num_taken = 0
        self._unsent: deque[tuple[bytes, bytes]] = deque()  # while the channel takes no more frames
        self._has_sent_end = self._has_heard_end = self._is_over = False
        self._is_reading = True
        self.sent_bytes = self.heard_bytes = 0
        with contextlib.suppress(OSError):
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.carries = self._hear
        channel.when_lost(self._finish)
        self._loop.add_reader(local.fileno(), self._read)

    def cut(self) -> None:
        """End it now; the program here sees its connection closed."""
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
        """In order; what the channel does not take now (many small frames on a slow link) is tried again."""
        try:
            if self._unsent or not self._channel.try_send([kind, body]):
                self._unsent.append((kind, bytes(body)))
                if len(self._unsent) == 1:
                    self._loop.call_later(_AGAIN_SECONDS, self._send_again)
        except LinkLostError:
            self._finish()

    def _send_again(self) -> None:
        try:
            while self._unsent and not self._is_over:
                if not self._channel.try_send(self._unsent[0]):
                    self._loop.call_later(_AGAIN_SECONDS, self._send_again)
                    return
                self._unsent.popleft()
        except LinkLostError:
            self._finish()
        self._pause_or_read()
        self._close_if_done()

    def _pause_or_read(self) -> None:
        """The program is read while there is credit for its bytes and the channel takes them."""
        wanted = self._credit > 0 and not self._unsent and not self._has_sent_end
        if self._is_over or wanted == self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            self._loop.add_reader(self._local.fileno(), self._read)
        else:
            self._loop.remove_reader(self._local.fileno())

    # -- from the channel to the program -----------------------------------------------------------------------------

    def _hear(self, frames: Sequence[memoryview]) -> None:
        if self._is_over:
            return
        kind, body = bytes(frames[0][:1]), frames[1]
        if kind == _DATA and not self._has_heard_end:
            self._num_waiting += len(body)
            self.heard_bytes += len(body)
            if self._num_waiting + self._num_taken > TUNNEL_WINDOW_BYTES:  # it takes more than it was given
                self.cut()
                return
            self._waiting.append(body)
            if len(self._waiting) == 1:
                self._write()
        elif kind == _CREDIT and len(body) == 4:
            self._give_credit(struct.unpack("<I", body)[0])
        elif kind == _END and not self._has_heard_end:
            self._has_heard_end = True
            self._write()
        else:
            self.cut()

    def _write(self) -> None:
        try:
            while self._waiting:
                count = self._local.send(self._waiting[0])
                self._num_waiting -= count
                self._num_taken += count
                if count < len(self._waiting[0]):
                    self._waiting[0] = self._waiting[0][count:]
                else:
                    self._waiting.popleft()
        except (BlockingIOError, InterruptedError):
            self._loop.add_writer(self._local.fileno(), self._write)
            self._return_credit(TUNNEL_WINDOW_BYTES // 4)
            return
        except OSError:
            self.cut()
            return
        self._loop.remove_writer(self._local.fileno())
        self._return_credit(0 if self._has_heard_end else TUNNEL_WINDOW_BYTES // 4)
        if self._has_heard_end and not self._is_over:
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
        if self._has_sent_end and self._has_heard_end and not self._waiting and not self._unsent and all_came_back:
            self._finish()

    def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._channel.carries = None
        self._loop.remove_reader(self._local.fileno())
        self._loop.remove_writer(self._local.fileno())
        self._local.close()
        self._waiting.clear()
        self._ended()
