"""Sockets: one CURVE-only listener per agent, one connection per dialled address. The only zmq import of the agent.

Knows frames and keys; knows no messages. What it guards:
- CurveZMQ fails open: a CURVE server without a ZAP handler lets anybody in. So ZAP_ENFORCE_DOMAIN is set, the gate is
  proved to refuse a random key before the port is bound, and the gate's end is the listener's end.
- A key that is removed keeps its live connections: `rebind` cuts them all, and the others are back in a moment.
- A slow receiver must not hold up the others: sends never wait inside the socket, each has its own patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import zmq
import zmq.asyncio
from zmq.auth.base import Authenticator
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import CellmindError, LinkLostError, NotPairedError, UnreachableError
from cellmind_agent.protocol.limits import (
    FRAMES,
    HANDSHAKE_SECONDS,
    HIGH_WATER_MARK,
    MAX_FRAME_BYTES,
    SEND_SECONDS,
)
from cellmind_agent.trust.identity import CurveKeys, new_curve_keys

_DOMAIN = b"cellmind"
_log = logging.getLogger(__name__)
Admits = Callable[[bytes], bool]


def key_to_text(key: bytes) -> str:
    """A 32-byte key in Z85, 40 characters, as CurveZMQ writes keys."""
    return z85.encode(key).decode()


def key_from_text(text: str) -> bytes:
    """Raises ValueError."""
    key = z85.decode(text.encode())
    if len(key) != 32:
        raise ValueError("not a key")
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One frame that came in: by which route to answer, and whose key CURVE proved."""

    route: bytes
    curve_key: bytes
    host: str
    data: bytes


class _Gate(Authenticator):
    """libzmq's ZAP handler: asks `admits` about each key. Its base does the protocol; the task is ours to watch."""

    def __init__(self, context: zmq.asyncio.Context, admits: Admits) -> None:
        super().__init__(context)
        self._admits = admits
        self.configure_curve_callback(_DOMAIN.decode(), self)

    def callback(self, domain: str, key: bytes) -> bool:
        return self._admits(z85.decode(key))

    async def serve(self) -> None:
        poller = zmq.asyncio.Poller()
        poller.register(self.zap_socket, zmq.POLLIN)
        while True:
            await poller.poll()
            await self.handle_zap_message(self.zap_socket.recv_multipart())


class Listener:
    """The agent's one port."""

    def __init__(self, keys: CurveKeys, admits: Admits) -> None:
        self._keys = keys
        self._context = zmq.asyncio.Context()
        self._gate = _Gate(self._context, admits)
        self._gate_task: asyncio.Task[None] | None = None
        self._router: zmq.asyncio.Socket | None = None
        self._endpoint = ""
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Raises CellmindError when the port is taken or the gate does not hold."""
        self._gate.start()
        self._gate_task = asyncio.create_task(self._gate.serve(), name="zap gate")
        await self._prove_gate()
        self._router = self._make_router()
        place = f"tcp://[{host}]" if ":" in host else f"tcp://{host}"
        try:
            self._router.bind(f"{place}:{port or '*'}")
        except zmq.ZMQError as error:
            why = "is taken by another program" if error.errno == zmq.EADDRINUSE else f"cannot be used ({error})"
            await self.close()
            raise CellmindError(f"{host}:{port} {why}", "choose another: cellmind-agent --listen HOST:PORT") from error
        self._endpoint = cast(bytes, self._router.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        self.port = int(self._endpoint.rpartition(":")[2])

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """What comes in, for ever. Raises CellmindError when the gate has died: then nothing may be served."""
        assert self._gate_task
        while True:
            router = self._router
            assert router
            receive = asyncio.ensure_future(router.recv_multipart(copy=False))
            await asyncio.wait({receive, self._gate_task}, return_when=asyncio.FIRST_COMPLETED)
            if self._gate_task.done():
                receive.cancel()
                raise CellmindError(
                    "the gate has ended: this agent would let anybody in, so it stops", "start it again"
                )
            try:
                frames = receive.result()
            except (zmq.ZMQError, asyncio.CancelledError):
                if self._router is router:
                    raise
                continue  # rebound meanwhile
            arrival = self._read(frames)
            if arrival:
                yield arrival

    async def send(self, route: bytes, data: bytes) -> None:
        """Raises LinkLostError when the receiver is gone or has taken nothing for SEND_SECONDS."""
        await _patiently(self._require, [route, data])

    async def rebind(self) -> None:
        """Cut every live connection and listen again on the same port."""
        old = self._require()
        self._router = self._make_router()
        old.close(linger=0)
        for _ in range(200):
            try:
                self._router.bind(self._endpoint)
                return
            except zmq.ZMQError:
                await asyncio.sleep(0.01)
        raise CellmindError(f"cannot listen on {self._endpoint} again", "start the agent again")

    async def close(self) -> None:
        if self._router:
            self._router.close(linger=200)
            self._router = None
        if self._gate_task:
            self._gate_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._gate_task
            self._gate.stop()
        self._context.destroy(linger=200)

    def _require(self) -> zmq.asyncio.Socket:
        if self._router is None:
            raise LinkLostError("this agent is going down")
        return self._router

    def _make_router(self) -> zmq.asyncio.Socket:
        router = self._context.socket(zmq.ROUTER)
        _guard(router)
        router.setsockopt(zmq.CURVE_SERVER, 1)
        router.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
        router.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN)
        router.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        router.setsockopt(zmq.HEARTBEAT_IVL, 5000)
        router.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15000)
        return router

    def _read(self, frames: list[zmq.Frame]) -> Arrival | None:
        if len(frames) != FRAMES:
            return None
        body = frames[1]
        try:
            curve_key = key_from_text(cast(str, body.get("User-Id")))
            host = cast(str, body.get("Peer-Address")).removeprefix("::ffff:")
        except (zmq.ZMQError, ValueError):
            return None
        return Arrival(route=frames[0].bytes, curve_key=curve_key, host=host, data=body.bytes)

    async def _prove_gate(self) -> None:
        """A stranger must be turned away on a private endpoint before the port opens."""
        router = self._make_router()
        router.bind("tcp://127.0.0.1:*")
        endpoint = cast(bytes, router.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        stranger = self._context.socket(zmq.DEALER)
        _dial(stranger, new_curve_keys(), self._keys.public)
        monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        try:
            stranger.connect(endpoint)
            async with asyncio.timeout(10):
                event = await _next_event(monitor)
            if event != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise CellmindError(
                    "the gate lets strangers in", "this installation of libzmq is unsafe: pip install -U pyzmq"
                )
        except TimeoutError as error:
            raise CellmindError("the gate does not answer", "pip install --upgrade pyzmq") from error
        finally:
            stranger.disable_monitor()
            monitor.close(linger=0)
            stranger.close(linger=0)
            router.close(linger=0)


class Connection:
    """One dialled connection, to an agent whose key is known. It is open or lost; it never reconnects by itself."""

    def __init__(self, context: zmq.asyncio.Context, keys: CurveKeys, address: Address, server_key: bytes) -> None:
        self.address = address
        self._socket = context.socket(zmq.DEALER)
        _dial(self._socket, keys, server_key)
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED
            | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_DISCONNECTED
            | zmq.EVENT_CLOSED
        )

    async def open(self, seconds: float) -> None:
        """Raises UnreachableError (nobody there, or not the one we look for), NotPairedError (it does not want us)."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        try:
            self._socket.connect(f"tcp://{host}:{self.address.port}")
            async with asyncio.timeout(seconds):
                event = await _next_event(self._monitor)
        except (TimeoutError, zmq.ZMQError) as error:
            raise UnreachableError(f"no answer from {self.address}") from error
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            raise NotPairedError(f"the agent at {self.address} does not know this device")
        if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            why = "nobody listens there" if event == zmq.EVENT_CLOSED else "it is not the device that was looked for"
            raise UnreachableError(f"cannot reach {self.address}: {why}")

    async def lost(self) -> None:
        """Returns when the connection is gone."""
        with contextlib.suppress(zmq.ZMQError):
            await _next_event(self._monitor)

    async def receive(self) -> bytes:
        while True:
            frames = await self._socket.recv_multipart()
            if len(frames) == 1:
                return frames[0]

    async def send(self, data: bytes) -> None:
        """Raises LinkLostError."""
        await _patiently(lambda: self._socket, [data])

    def close(self) -> None:
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=200)


def new_context() -> zmq.asyncio.Context:
    return zmq.asyncio.Context()


def _guard(socket: Any) -> None:
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    socket.setsockopt(zmq.HANDSHAKE_IVL, int(HANDSHAKE_SECONDS * 1000))
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.LINGER, 0)


def _dial(socket: Any, keys: CurveKeys, server_key: bytes) -> None:
    _guard(socket)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.setsockopt(zmq.CURVE_SERVERKEY, server_key)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)


async def _next_event(monitor: zmq.asyncio.Socket) -> int:
    frames = await monitor.recv_multipart()
    return int(parse_monitor_message(frames)["event"])


async def _patiently(socket: Callable[[], zmq.asyncio.Socket], frames: list[bytes]) -> None:
    """Send without ever waiting inside the socket, where one slow receiver would hold up all."""
    deadline = asyncio.get_running_loop().time() + SEND_SECONDS
    pause = 0.001
    while True:
        try:
            await socket().send_multipart(frames, flags=zmq.NOBLOCK)
            return
        except zmq.Again:
            if asyncio.get_running_loop().time() > deadline:
                raise LinkLostError("the other side takes nothing more") from None
        except zmq.ZMQError as error:
            raise LinkLostError("the other side is gone") from error
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)
