"""A connection that this device dials, to an agent whose key is known. Knows frames and keys; knows no messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import zmq

from cellmind_agent.network.channel import Channel, Frame, Hear
from cellmind_agent.network.curve import Context, SocketPump, configure_client, monitor_event
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import LinkLostError, NotPairedError, UnreachableError
from cellmind_agent.protocol.limits import LINGER_SECONDS, MAX_FRAMES
from cellmind_agent.protocol.messages import Outcome
from cellmind_agent.trust.identity import CurveKeys

_WATCHED_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
)


class Connection(Channel):
    """One dialled channel. It dials once; a lost connection is replaced by a new object."""

    def __init__(self, context: Context, keys: CurveKeys, address: Address, server_key: bytes, hear: Hear) -> None:
        """`hear` gets every message that arrives, in the event loop."""
        super().__init__(server_key, address.host, str(address))
        self.address = address
        self.outcome: Outcome = "silent"  # of `open`
        socket = context.socket(zmq.DEALER)
        configure_client(socket, keys, server_key)
        monitor = socket.get_monitor_socket(_WATCHED_EVENTS)
        self._first_event: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._monitor = SocketPump(monitor, self._hear_event)
        self._pump = SocketPump(socket, lambda frames: hear(self, [frame.buffer for frame in frames[:MAX_FRAMES]]))

    async def open(self, seconds: float) -> None:
        """Dial, for `seconds` at most; `outcome` says how it ended.

        Raises UnreachableError (nobody answers, or another key does), NotPairedError (the agent does not admit us).
        """
        try:
            self._pump.socket.connect(f"tcp://{self.address}")
            async with asyncio.timeout(seconds):
                event = await asyncio.shield(self._first_event)  # a time-out must not cancel the future itself
        except (TimeoutError, zmq.ZMQError) as error:
            raise UnreachableError("no answer from {address}", address=self.address) from error
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            self.outcome = "unknown"
            raise NotPairedError("the agent at {address} does not know this device", address=self.address)
        if event != zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.outcome = "refused" if event == zmq.EVENT_CLOSED else "other"
            why = "nobody listens there" if event == zmq.EVENT_CLOSED else "another device listens there"
            raise UnreachableError("cannot reach {address}: {why}", address=self.address, why=why)
        self.outcome = "reached"

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Send if the queue has room; return False if it is full. Raises LinkLostError."""
        if self.is_lost:
            raise LinkLostError("the other side is gone")
        return self._pump.send(frames)

    def cut(self) -> None:
        """Close now. Data that is not sent yet is lost."""
        self._close(0)

    def close(self) -> None:
        """Close. Queued data may still be sent for LINGER_SECONDS."""
        self._close(LINGER_SECONDS)

    def _close(self, linger_seconds: float) -> None:
        if not self._pump.socket.closed:
            self._pump.socket.disable_monitor()
            self._monitor.close(0)
            self._pump.close(linger_seconds)
        self.mark_lost()

    def _hear_event(self, frames: list[zmq.Frame]) -> None:
        kind, _ = monitor_event([frame.bytes for frame in frames])
        if not self._first_event.done():  # how the handshake ended
            self._first_event.set_result(kind)
        else:
            self.mark_lost()
