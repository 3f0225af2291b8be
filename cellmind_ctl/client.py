"""The connection to the agent of this home, without asyncio. The only file here that imports zmq.

Knows the socket and how long to wait; `protocol/conversation` knows requests and answers.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TypeVar

import zmq
from zmq.utils import z85

from cellmind_agent.protocol.address import parse_address
from cellmind_agent.protocol.conversation import Conversation, Exchange
from cellmind_agent.protocol.errors import CellmindError, LinkLostError, NoAgentsFoundError, TimedOutError
from cellmind_agent.protocol.home import ControlFile
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import (
    CLIENT_OPEN_SECONDS,
    CLIENT_PULSE_SECONDS,
    LINGER_SECONDS,
    MAX_FRAME_BYTES,
)
from cellmind_agent.protocol.messages import Ping, Request, StreamRequest

A = TypeVar("A")
_GONE_HINT = "is it running? cellmind-agent"


class Client:
    """Asks this home's agent, and through it other devices."""

    def __init__(self, control: ControlFile, timeout: float) -> None:
        """`timeout` seconds is how long a request waits for its answer. Raises NoAgentsFoundError when the agent that
        wrote `control` does not answer."""
        self.timeout, self.control = timeout, control
        self.device: DeviceId | None = None  # asked instead of our own agent, if a request names no other
        self._conversation = Conversation()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IPV6, 1)
        self._socket.setsockopt(zmq.LINGER, int(LINGER_SECONDS * 1000))
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        # Without a limit to the queues, `_send` fails only when the agent is gone.
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, -1)
        self._socket.setsockopt(zmq.CURVE_SERVERKEY, z85.decode(control.server_key.encode()))
        self._socket.setsockopt(zmq.CURVE_PUBLICKEY, z85.decode(control.client_public_key.encode()))
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, z85.decode(control.client_secret_key.encode()))
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._socket.connect(f"tcp://{parse_address(control.address)}")
        try:
            self.request(Ping(), seconds=min(CLIENT_OPEN_SECONDS, timeout))
        except (TimedOutError, LinkLostError) as error:
            self.close()
            sentence = "the agent of this home does not answer at {address}"
            raise NoAgentsFoundError(sentence, address=control.address) from error

    def request(self, message: Request[A], device: DeviceId | None = None, seconds: float | None = None) -> A:
        """The one answer, of `device` or of our own agent. Raises what was refused, TimedOutError, LinkLostError."""
        return self._only_answer(self._ask(message, device), self.timeout if seconds is None else seconds)

    def request_all(
        self, message_by_device: Mapping[DeviceId, Request[A]], seconds: float
    ) -> dict[DeviceId, A | CellmindError]:
        """Ask all these devices at once; the answer of each, or why there is none."""
        exchanges = {device: self._ask(message, device) for device, message in message_by_device.items()}
        deadline = time.monotonic() + seconds
        found: dict[DeviceId, A | CellmindError] = {}
        for device, exchange in exchanges.items():
            try:
                found[device] = self._only_answer(exchange, max(0.0, deadline - time.monotonic()))
            except TimedOutError:
                found[device] = _no_answer(seconds)
            except CellmindError as error:
                found[device] = error
        return found

    def stream(self, message: StreamRequest[A], device: DeviceId | None = None) -> Iterator[A]:
        """Every answer until the end, as long as the agent lives. Leaving early cancels the stream there."""
        exchange = self._ask(message, device)
        try:
            while True:
                self._until_ready(exchange, seconds=None)
                answer = exchange.take()
                if answer is None:
                    return
                yield answer
        finally:
            self._leave(exchange)

    def check_agent(self) -> None:
        """Raises LinkLostError or TimedOutError when our own agent does not answer."""
        self.request(Ping(), DeviceId(self.control.device), CLIENT_PULSE_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()
        self._context.term()

    def _ask(self, message: Request[A] | StreamRequest[A], device: DeviceId | None = None) -> Exchange[A]:
        target = device or self.device
        exchange = self._conversation.ask(message, relay_to=None if target == self.control.device else target)
        self._send(exchange.frame)
        return exchange

    def _only_answer(self, exchange: Exchange[A], seconds: float) -> A:
        try:
            self._until_ready(exchange, seconds)
            return exchange.take_only()
        finally:
            self._leave(exchange)

    def _leave(self, exchange: Exchange[object]) -> None:
        cancel = self._conversation.leave(exchange)
        if cancel is not None:
            with contextlib.suppress(LinkLostError):
                self._send(cancel)

    def _send(self, frame: bytes) -> None:
        """Raises LinkLostError and does not wait if the agent is gone."""
        try:
            self._socket.send(frame, flags=zmq.NOBLOCK)
        except zmq.Again as error:
            raise LinkLostError("the agent went away", _GONE_HINT) from error

    def _until_ready(self, exchange: Exchange[object], seconds: float | None) -> None:
        """Receive until the exchange has something to take. Without `seconds`, wait as long as the agent answers a
        pulse. Raises TimedOutError, LinkLostError."""
        deadline = None if seconds is None else time.monotonic() + seconds
        pulse: Exchange[object] | None = None
        while not exchange.is_ready:
            wait_seconds = CLIENT_PULSE_SECONDS if deadline is None else deadline - time.monotonic()
            ready = dict(self._poller.poll(max(0, int(wait_seconds * 1000))))
            if self._socket in ready:
                self._conversation.receive(self._socket.recv())
                if pulse is not None and pulse.is_ready:
                    pulse = None
            elif self._monitor in ready or (deadline is None and pulse is not None):
                raise LinkLostError("the agent went away", _GONE_HINT)
            elif deadline is not None:
                raise _no_answer(seconds or 0.0)
            else:
                pulse = self._conversation.ask(Ping())
                self._send(pulse.frame)


def _no_answer(seconds: float) -> TimedOutError:
    return TimedOutError("no answer within {seconds} s", seconds=f"{seconds:g}")
