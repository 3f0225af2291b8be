"""The agent's one port. Every connection to it is a channel; every message is handed on with its channel.

Knows frames and keys; knows no messages. libzmq keeps the connections of a key that is no longer admitted, and cannot
close one alone: `cut` shuts their TCP connections down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import zmq

from cellmind_agent.network.channel import Channel, Frame, Hear
from cellmind_agent.network.curve import SocketPump, configure_server, endpoint_port, key_from_text, monitor_event
from cellmind_agent.network.flood_guard import FloodGuard
from cellmind_agent.network.gate import Admits, Gate
from cellmind_agent.network.tcp import local_port, remote_address, shut_down
from cellmind_agent.protocol.errors import CellmindError, LinkLostError
from cellmind_agent.protocol.limits import FIRST_MESSAGE_SECONDS, LINGER_SECONDS, MAX_FRAMES
from cellmind_agent.trust.identity import CurveKeys

_MAPPED_IPV4 = "::ffff:"  # how an IPv6 socket writes an IPv4 address


class _AcceptedChannel(Channel):
    """A connection that the other side has dialled."""

    def __init__(self, curve_key: bytes, host: str, route: bytes, file_descriptor: int, pump: SocketPump) -> None:
        super().__init__(curve_key, host, f"{host} (dialled from there)")
        self._route, self._file_descriptor, self._pump = route, file_descriptor, pump
        self._remote = remote_address(file_descriptor)

    def try_send(self, frames: Sequence[Frame]) -> bool:
        if self.is_lost:
            raise LinkLostError("the other side is gone")
        return self._pump.send([self._route, *frames])

    def cut(self) -> None:
        if self.is_lost:
            return
        self.mark_lost()
        # libzmq may have closed the connection, and the system may have given its descriptor to another one.
        if self._remote is not None and remote_address(self._file_descriptor) == self._remote:
            shut_down(self._file_descriptor)


class Listener:
    """The server socket, its gate and its accepted channels."""

    def __init__(self, keys: CurveKeys, admits: Admits, hear: Hear) -> None:
        """`admits(key)` decides who may connect; `hear` gets every message, in the event loop."""
        self._keys, self._admits, self._hear_message = keys, admits, hear
        self._gate = Gate(keys, admits)
        self._router: SocketPump | None = None
        self._monitor: SocketPump | None = None
        self._channels: dict[bytes, _AcceptedChannel] = {}  # by libzmq's route
        # Every open connection by file descriptor; None until its first message shows its key.
        self._connections: dict[int, _AcceptedChannel | None] = {}
        self._flood_guard: FloodGuard | None = None
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Prove the gate, then bind. Raises CellmindError when the port is taken or the gate does not hold."""
        await self._gate.open()
        router = self._gate.context.socket(zmq.ROUTER)
        configure_server(router, self._keys)
        monitor = router.get_monitor_socket(zmq.EVENT_LISTENING | zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self._monitor = SocketPump(monitor, self._hear_event)
        self._router = SocketPump(router, self._hear)
        place = f"tcp://[{host}]" if ":" in host else f"tcp://{host}"
        try:
            router.bind(f"{place}:{port or '*'}")
        except zmq.ZMQError as error:
            await self.close()
            text = "{host}:{port} cannot be used ({error})"
            if error.errno == zmq.EADDRINUSE:
                text = "{host}:{port} is taken by another program"
            hint = "choose another: cellmind-agent --listen HOST:PORT"
            raise CellmindError(text, hint, host=host, port=port, error=error) from error
        self.port = endpoint_port(router)

    async def serve(self) -> None:
        """Run until cancelled. Raises CellmindError when the gate has ended: then nothing may be served."""
        await self._gate.ended()
        raise CellmindError("the gate has ended: this agent would let anybody in, so it stops", "start it again")

    def cut(self, is_unwanted: Callable[[bytes], bool]) -> None:
        """Close the connections of unwanted keys now, and soon those whose key is not known yet."""
        for channel in list(self._channels.values()):
            if is_unwanted(channel.curve_key):
                channel.cut()
        # libzmq reveals a connection's key with its first message. Members send that at once, so silence is enough.
        silent = [descriptor for descriptor, channel in self._connections.items() if channel is None]
        asyncio.get_running_loop().call_later(FIRST_MESSAGE_SECONDS, self._cut_silent, silent)

    async def close(self) -> None:
        """Mark every channel as lost, close the port, end the gate."""
        for channel in list(self._channels.values()):
            channel.mark_lost()
        if self._router and self._monitor:
            self._router.socket.disable_monitor()
            self._monitor.close(0)
            self._router.close(LINGER_SECONDS)
            self._router = None
        if self._flood_guard:
            self._flood_guard.close()
        await self._gate.close()

    def _cut_silent(self, descriptors: Sequence[int]) -> None:
        for descriptor in descriptors:
            is_silent = descriptor in self._connections and self._connections[descriptor] is None
            if is_silent and local_port(descriptor) == self.port:
                shut_down(descriptor)

    def _hear(self, frames: list[zmq.Frame]) -> None:
        if not self._gate.is_open or not 2 <= len(frames) <= 1 + MAX_FRAMES:
            return
        route = frames[0].bytes
        channel = self._channels.get(route) or self._accept(route, frames[1])
        if channel is not None and not channel.is_lost:
            self._hear_message(channel, [frame.buffer for frame in frames[1:]])

    def _accept(self, route: bytes, body: zmq.Frame) -> _AcceptedChannel | None:
        """The channel of a connection's first message."""
        assert self._router
        assert self._monitor
        self._monitor.drain()  # an older connection with the same descriptor may have ended
        try:
            curve_key = key_from_text(cast(str, body.get("User-Id")))
            host = cast(str, body.get("Peer-Address")).removeprefix(_MAPPED_IPV4)
            descriptor = int(cast(str, body.get("__fd")))
        except (zmq.ZMQError, ValueError):
            return None
        channel = _AcceptedChannel(curve_key, host, route, descriptor, self._router)
        self._channels[route] = self._connections[descriptor] = channel
        channel.when_lost(lambda: self._forget(route))
        if not self._admits(curve_key):  # removed between its handshake and its first message
            channel.cut()
        elif self._flood_guard:
            self._flood_guard.discount(host)
        return channel

    def _forget(self, route: bytes) -> None:
        self._channels.pop(route, None)

    def _hear_event(self, frames: list[zmq.Frame]) -> None:
        kind, descriptor = monitor_event([frame.bytes for frame in frames])
        if kind == zmq.EVENT_LISTENING:
            self._flood_guard = FloodGuard(descriptor)
        elif kind == zmq.EVENT_ACCEPTED:
            self._connections[descriptor] = None
            if self._flood_guard:
                remote = remote_address(descriptor) if local_port(descriptor) == self.port else None
                self._flood_guard.count(remote[0].removeprefix(_MAPPED_IPV4) if remote else None)
        elif kind == zmq.EVENT_DISCONNECTED:
            channel = self._connections.pop(descriptor, None)
            if channel:
                channel.mark_lost()
