"""CurveZMQ sockets: their options, keys as text, and a socket that is read by the event loop.

Knows frames and keys; knows no channels and no messages.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import zmq
import zmq.asyncio
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from cellmind_agent.network.channel import Frame
from cellmind_agent.protocol.errors import LinkLostError
from cellmind_agent.protocol.limits import (
    HANDSHAKE_SECONDS,
    HIGH_WATER_MARK,
    MAX_FRAME_BYTES,
    MAX_MESSAGES_PER_TURN,
    ZMQ_HEARTBEAT_SECONDS,
    ZMQ_HEARTBEAT_TIMEOUT_SECONDS,
)
from cellmind_agent.trust.identity import CurveKeys

ZAP_DOMAIN = b"cellmind"
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Socket: TypeAlias = "zmq.Socket[bytes]"
_log = logging.getLogger(__name__)


def key_to_text(key: bytes) -> str:
    """A 32-byte key in Z85, 40 characters, as CurveZMQ writes keys."""
    return z85.encode(key).decode()


def key_from_text(text: str) -> bytes:
    """The 32 bytes of a key in Z85. Raises ValueError."""
    try:
        key = z85.decode(text.encode())
    except (KeyError, struct.error) as error:  # characters outside the alphabet, or five that encode too large a number
        raise ValueError("not a key") from error
    if len(key) != 32:
        raise ValueError("not a key")
    return key


def new_context() -> Context:
    """A libzmq context for dialled connections. Its maker must destroy it."""
    return zmq.Context()


def configure_server(socket: Socket, keys: CurveKeys) -> None:
    """Options of a ROUTER that lets in only the keys that the gate admits.

    CurveZMQ fails open: without a ZAP handler, a CURVE server lets anybody in. ZAP_ENFORCE_DOMAIN forbids that.
    """
    _limit(socket)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.setsockopt(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    # Sending to a connection that is gone is an error instead of silence.
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.HEARTBEAT_IVL, int(ZMQ_HEARTBEAT_SECONDS * 1000))
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, int(ZMQ_HEARTBEAT_TIMEOUT_SECONDS * 1000))


def configure_client(socket: Socket | zmq.asyncio.Socket, keys: CurveKeys, server_key: bytes) -> None:
    """Options of a DEALER that talks to the server with this key, and never reconnects."""
    _limit(socket)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server_key)
    # A channel never reconnects: its state at the other side would be gone.
    socket.setsockopt(zmq.RECONNECT_IVL, -1)


def endpoint_port(socket: Socket) -> int:
    """The TCP port that a bound socket has got."""
    endpoint = cast(bytes, socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
    return int(endpoint.rpartition(":")[2])


def monitor_event(frames: Sequence[bytes]) -> tuple[int, int]:
    """The kind and the value of a socket monitor's message (zmq_socket_monitor)."""
    parsed = parse_monitor_message(list(frames))
    return int(parsed["event"]), int(parsed["value"])


def _limit(socket: Socket | zmq.asyncio.Socket) -> None:
    """What one peer may make libzmq hold or wait for."""
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    socket.setsockopt(zmq.HANDSHAKE_IVL, int(HANDSHAKE_SECONDS * 1000))
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.LINGER, 0)


class SocketPump:
    """Reads a zmq socket in the event loop and hands each message to `hear`.

    The file descriptor of a zmq socket signals changes only (edge-triggered). So the socket is always read until it is
    empty, and read again after each send.
    """

    def __init__(self, socket: Socket, hear: Callable[[list[zmq.Frame]], None]) -> None:
        self.socket, self._hear = socket, hear
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = False
        self._file_descriptor = cast(int, socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._file_descriptor, self.drain)
        self._schedule()

    def send(self, frames: Sequence[Frame]) -> bool:
        """Send without waiting; return False if the queue is full. Raises LinkLostError."""
        try:
            self.socket.send_multipart(frames, flags=zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            raise LinkLostError("the other side is gone") from error
        self._schedule()
        return True

    def drain(self) -> None:
        """Read messages until the socket is empty, or until the loop's other work is due."""
        self._is_scheduled = False
        for _ in range(MAX_MESSAGES_PER_TURN):
            if self.socket.closed:
                return
            try:
                frames = self.socket.recv_multipart(flags=zmq.NOBLOCK, copy=False)
            except zmq.ZMQError:
                return
            try:
                self._hear(frames)
            except Exception:
                _log.exception("a message could not be handled")  # the agent must survive any bytes (I9)
        self._schedule()

    def close(self, linger_seconds: float) -> None:
        """Close the socket; queued messages may still be sent for `linger_seconds`."""
        if not self.socket.closed:
            self._loop.remove_reader(self._file_descriptor)
            self.socket.close(linger=int(linger_seconds * 1000))

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.drain)
