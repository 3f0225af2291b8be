"""Sockets: one CURVE-only listener per agent, one socket per dialled address. The only zmq import of the agent.

Knows frames and keys; knows no messages. A connection is a Channel at both ends, whichever of them dialled, and every
frame that comes in is handed to `heard` in the loop. What this file guards:
- CurveZMQ fails open: a CURVE server without a ZAP handler lets anybody in. So ZAP_ENFORCE_DOMAIN is set, the gate is
  proved to refuse a random key before the port is bound, and the gate's end is the listener's end.
- libzmq keeps a connection whose key is removed, and cannot close one alone: `cut` shuts its TCP connection down.
- A slow receiver must not hold up the others: sends never wait inside the socket, each has its own patience.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket as sockets
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import zmq
import zmq.asyncio
from zmq.auth.base import Authenticator
from zmq.utils import z85
from zmq.utils.monitor import parse_monitor_message

from cellmind_agent.network.doorkeeper import Doorkeeper
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import CellmindError, LinkLostError, NotPairedError, UnreachableError
from cellmind_agent.protocol.limits import (
    HANDSHAKE_SECONDS,
    HIGH_WATER_MARK,
    MAX_FRAME_BYTES,
    MAX_FRAMES,
    SEND_SECONDS,
)
from cellmind_agent.protocol.messages import Outcome
from cellmind_agent.trust.identity import CurveKeys, new_curve_keys

_DOMAIN = b"cellmind"
_MAPPED = "::ffff:"  # how an IPv6 socket writes an IPv4 address
_FIRST_WORD_SECONDS = 0.5  # who dials speaks at once
_AT_ONCE = 16  # messages taken from one socket before the loop's other work has its turn
_log = logging.getLogger(__name__)
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"
Admits = Callable[[bytes], bool]
Frame: TypeAlias = bytes | memoryview


def key_to_text(key: bytes) -> str:
    """A 32-byte key in Z85, 40 characters, as CurveZMQ writes keys."""
    return z85.encode(key).decode()


def key_from_text(text: str) -> bytes:
    """Raises ValueError."""
    key = z85.decode(text.encode())
    if len(key) != 32:
        raise ValueError("not a key")
    return key


class Channel:
    """One connection, and whose key CURVE proved at its other end. It is open or lost; it never reconnects."""

    def __init__(self, curve_key: bytes, host: str, name: str) -> None:
        self.curve_key, self.host, self.name = curve_key, host, name
        self.carries: Callable[[Sequence[memoryview]], None] | None = None  # who takes frames that are not messages
        self.answers: Callable[[Any], None] | None = None  # who takes the answers to what was asked here
        self._losing: list[Callable[[], None]] = []
        self._lost = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    async def lost(self) -> None:
        """Returns when the connection is gone."""
        await self._lost.wait()

    def when_lost(self, do: Callable[[], None]) -> None:
        """`do` is called once, in the loop; soon, when the connection is lost already."""
        if self.is_lost:
            asyncio.get_running_loop().call_soon(do)
        else:
            self._losing.append(do)

    async def send(self, data: bytes) -> None:
        """Raises LinkLostError when the receiver is gone or has taken nothing for SEND_SECONDS."""
        deadline = asyncio.get_running_loop().time() + SEND_SECONDS
        pause = 0.001
        while not self.try_send([data]):
            if asyncio.get_running_loop().time() > deadline:
                raise LinkLostError("the other side takes nothing more")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Is it on its way? Not when too much waits already. Raises LinkLostError."""
        raise NotImplementedError

    def cut(self) -> None:
        """Close it now; what is not sent yet is lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it; what is under way may still go out, where that can be had."""
        self.cut()

    def _lose(self) -> None:
        if not self._lost.is_set():
            self._lost.set()
            for do in self._losing:
                do()
            self._losing.clear()


Heard = Callable[[Channel, Sequence[memoryview]], None]


class _Pump:
    """A zmq socket in the event loop. Its file descriptor tells only of changes: so a socket is always read to its
    end, and looked at again after each send."""

    def __init__(self, socket: zmq.Socket[bytes], heard: Callable[[list[zmq.Frame]], None]) -> None:
        self.socket, self._heard = socket, heard
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self._file = cast(int, socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._file, self.drain)
        self._again()

    def send(self, frames: Sequence[Frame]) -> bool:
        """Raises LinkLostError."""
        try:
            self.socket.send_multipart(frames, flags=zmq.NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            raise LinkLostError("the other side is gone") from error
        self._again()
        return True

    def drain(self) -> None:
        self._is_due = False
        for _ in range(_AT_ONCE):
            if self.socket.closed:
                return
            try:
                frames = self.socket.recv_multipart(flags=zmq.NOBLOCK, copy=False)
            except zmq.ZMQError:
                return
            try:
                self._heard(frames)
            except Exception:
                _log.exception("a frame could not be dealt with")  # and the agent goes on (I9)
        self._again()

    def close(self, linger_milliseconds: int) -> None:
        if not self.socket.closed:
            self._loop.remove_reader(self._file)
            self.socket.close(linger=linger_milliseconds)

    def _again(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.drain)


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


class _Accepted(Channel):
    """A connection that another device dialled."""

    def __init__(self, curve_key: bytes, host: str, route: bytes, file: int, pump: _Pump) -> None:
        super().__init__(curve_key, host, f"{host} (dialled from there)")
        self._route, self._file, self._pump = route, file, pump
        self._place = _far_end(file)

    def try_send(self, frames: Sequence[Frame]) -> bool:
        if self.is_lost:
            raise LinkLostError("the other side is gone")
        return self._pump.send([self._route, *frames])

    def cut(self) -> None:
        if not self.is_lost:
            self._lose()
            if self._place is not None and _far_end(self._file) == self._place:  # not another's by now
                _shut_down(self._file)


class Listener:
    """The agent's one port."""

    def __init__(self, keys: CurveKeys, admits: Admits, heard: Heard) -> None:
        """`heard` is called in the loop with every channel's every message."""
        self._keys, self._admits, self._heard = keys, admits, heard
        self._waiting_context = zmq.asyncio.Context()
        self._context: Context = zmq.Context.shadow(self._waiting_context.underlying)
        self._gate = _Gate(self._waiting_context, admits)
        self._gate_task: asyncio.Task[None] | None = None
        self._router: _Pump | None = None
        self._monitor: _Pump | None = None
        self._accepted: dict[bytes, _Accepted] = {}  # by route
        self._files: dict[int, _Accepted | None] = {}  # every open connection; None until it has said something
        self._doorkeeper: Doorkeeper | None = None
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Raises CellmindError when the port is taken or the gate does not hold."""
        self._gate.start()
        self._gate_task = asyncio.create_task(self._gate.serve(), name="zap gate")
        await self._prove_gate()
        router = self._make_router()
        monitor = router.get_monitor_socket(zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._monitor = _Pump(monitor, self._hear_event)
        self._router = _Pump(router, self._hear)
        place = f"tcp://[{host}]" if ":" in host else f"tcp://{host}"
        try:
            router.bind(f"{place}:{port or '*'}")
        except zmq.ZMQError as error:
            why = "is taken by another program" if error.errno == zmq.EADDRINUSE else f"cannot be used ({error})"
            await self.close()
            raise CellmindError(f"{host}:{port} {why}", "choose another: cellmind-agent --listen HOST:PORT") from error
        endpoint = cast(bytes, router.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        self.port = int(endpoint.rpartition(":")[2])

    async def serve(self) -> None:
        """Until cancelled. Raises CellmindError when the gate has died: then nothing may be served."""
        assert self._gate_task
        await asyncio.wait({self._gate_task})
        raise CellmindError("the gate has ended: this agent would let anybody in, so it stops", "start it again")

    def cut(self, is_unwanted: Callable[[bytes], bool]) -> None:
        """Close the connections of unwanted keys, and in a moment those that have still not said whose they are."""
        for channel in list(self._accepted.values()):
            if is_unwanted(channel.curve_key):
                channel.cut()
        silent = [file for file, channel_or_none in self._files.items() if channel_or_none is None]
        asyncio.get_running_loop().call_later(_FIRST_WORD_SECONDS, self._cut_silent, silent)

    def _cut_silent(self, files: Sequence[int]) -> None:
        for file in files:
            if self._files.get(file, self) is None and _near_port(file) == self.port:
                _shut_down(file)

    async def close(self) -> None:
        for channel in list(self._accepted.values()):
            channel._lose()
        if self._router and self._monitor:
            self._router.socket.disable_monitor()
            self._monitor.close(0)
            self._router.close(200)
            self._router = None
        if self._doorkeeper:
            self._doorkeeper.close()
        if self._gate_task:
            self._gate_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._gate_task
            self._gate.stop()
        self._waiting_context.destroy(linger=200)

    def _hear(self, frames: list[zmq.Frame]) -> None:
        if self._gate_task is None or self._gate_task.done() or not 2 <= len(frames) <= 1 + MAX_FRAMES:
            return
        route = frames[0].bytes
        channel = self._accepted.get(route) or self._welcome(route, frames[1])
        if channel is not None and not channel.is_lost:
            self._heard(channel, [frame.buffer for frame in frames[1:]])

    def _welcome(self, route: bytes, body: zmq.Frame) -> _Accepted | None:
        """A connection says its first word."""
        assert self._router
        assert self._monitor
        self._monitor.drain()  # an older connection may have ended that had the same file descriptor
        try:
            curve_key = key_from_text(cast(str, body.get("User-Id")))
            host = cast(str, body.get("Peer-Address")).removeprefix(_MAPPED)
            file = int(cast(str, body.get("__fd")))
        except (zmq.ZMQError, ValueError):
            return None
        channel = _Accepted(curve_key, host, route, file, self._router)
        self._accepted[route] = self._files[file] = channel
        channel.when_lost(lambda: self._forget(route))
        if not self._admits(curve_key):  # removed between its handshake and its first word
            channel.cut()
        elif self._doorkeeper:
            self._doorkeeper.was_known(host)
        return channel

    def _forget(self, route: bytes) -> None:
        self._accepted.pop(route, None)

    def _hear_event(self, frames: list[zmq.Frame]) -> None:
        event = parse_monitor_message([frame.bytes for frame in frames])
        if event["event"] == zmq.EVENT_LISTENING:
            self._doorkeeper = Doorkeeper(int(event["value"]))
        elif event["event"] == zmq.EVENT_ACCEPTED:
            file = int(event["value"])
            self._files[file] = None
            if self._doorkeeper:
                place = _far_end(file) if _near_port(file) == self.port else None
                self._doorkeeper.came(_plain_host(place))
        elif event["event"] == zmq.EVENT_DISCONNECTED:
            channel = self._files.pop(int(event["value"]), None)
            if channel:
                channel._lose()

    def _make_router(self) -> zmq.Socket[bytes]:
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

    async def _prove_gate(self) -> None:
        """A stranger must be turned away on a private endpoint before the port opens."""
        router = self._make_router()
        router.bind("tcp://127.0.0.1:*")
        endpoint = cast(bytes, router.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        stranger = self._waiting_context.socket(zmq.DEALER)
        _dial(stranger, new_curve_keys(), self._keys.public)
        monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        try:
            stranger.connect(endpoint)
            async with asyncio.timeout(10):
                event = parse_monitor_message(await monitor.recv_multipart())["event"]
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


class Connection(Channel):
    """A connection that we dialled, to an agent whose key is known."""

    def __init__(self, context: Context, keys: CurveKeys, address: Address, server_key: bytes, heard: Heard) -> None:
        super().__init__(server_key, address.host, str(address))
        self.address = address
        self.outcome: Outcome = "silent"  # of `open`
        socket = context.socket(zmq.DEALER)
        _dial(socket, keys, server_key)
        monitor = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED
            | zmq.EVENT_HANDSHAKE_FAILED_AUTH
            | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
            | zmq.EVENT_DISCONNECTED
            | zmq.EVENT_CLOSED
        )
        self._first_event: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._monitor = _Pump(monitor, self._hear_event)
        self._pump = _Pump(socket, lambda frames: heard(self, [frame.buffer for frame in frames[:MAX_FRAMES]]))

    async def open(self, seconds: float) -> None:
        """Raises UnreachableError (nobody there, or not the one we look for), NotPairedError (it does not want us)."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        try:
            self._pump.socket.connect(f"tcp://{host}:{self.address.port}")
            async with asyncio.timeout(seconds):
                event = await asyncio.shield(self._first_event)
        except (TimeoutError, zmq.ZMQError) as error:
            raise UnreachableError(f"no answer from {self.address}") from error
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.outcome = "unknown"
            raise NotPairedError(f"the agent at {self.address} does not know this device")
        if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.outcome = "refused" if event == zmq.EVENT_CLOSED else "other"
            why = "nobody listens there" if event == zmq.EVENT_CLOSED else "it is not the device that was looked for"
            raise UnreachableError(f"cannot reach {self.address}: {why}")
        self.outcome = "reached"

    def try_send(self, frames: Sequence[Frame]) -> bool:
        if self.is_lost:
            raise LinkLostError("the other side is gone")
        return self._pump.send(frames)

    def cut(self) -> None:
        self._close(0)

    def close(self) -> None:
        self._close(200)

    def _close(self, linger_milliseconds: int) -> None:
        if not self._pump.socket.closed:
            self._pump.socket.disable_monitor()
            self._monitor.close(0)
            self._pump.close(linger_milliseconds)
        self._lose()

    def _hear_event(self, frames: list[zmq.Frame]) -> None:
        event = int(parse_monitor_message([frame.bytes for frame in frames])["event"])
        if not self._first_event.done():
            self._first_event.set_result(event)
        else:
            self._lose()


def new_context() -> Context:
    return zmq.Context()


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


def _plain_host(place: tuple[str, int] | None) -> str | None:
    return place[0].removeprefix(_MAPPED) if place else None


def _far_end(file: int) -> tuple[str, int] | None:
    """The other end's address and port, or None when the connection is gone."""
    try:
        with sockets.socket(fileno=os.dup(file)) as twin:
            host, port, *_ = twin.getpeername()
            return str(host), int(port)
    except OSError:
        return None


def _near_port(file: int) -> int | None:
    try:
        with sockets.socket(fileno=os.dup(file)) as twin:
            return int(twin.getsockname()[1])
    except OSError:
        return None


def _shut_down(file: int) -> None:
    """End a TCP connection of libzmq's from beside: it takes that as the other side's leaving."""
    with contextlib.suppress(OSError), sockets.socket(fileno=os.dup(file)) as twin:
        twin.shutdown(sockets.SHUT_RDWR)
