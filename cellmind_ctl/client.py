"""The line to the agent: one request, one answer or a stream. The only zmq import here."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import zmq
from zmq.utils import z85

from cellmind_agent.protocol.address import parse_address
from cellmind_agent.protocol.codec import Envelope, decode, encode
from cellmind_agent.protocol.errors import (
    CellmindError,
    LinkLostError,
    NoAgentsFoundError,
    ProtocolError,
    TimedOutError,
    error_from_wire,
)
from cellmind_agent.protocol.home import ControlFile
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_FRAME_BYTES
from cellmind_agent.protocol.messages import Cancel, Done, Ping, Refused, Relay

M = TypeVar("M")
_OPEN_SECONDS = 3.0
_GONE_HINT = "is it running? cellmind-agent"
_PULSE_SECONDS = 5.0  # while a stream is silent, is the agent still there?


class Client:
    """Speaks to this home's agent; what is for another device is passed on by it."""

    def __init__(self, control: ControlFile, timeout: float) -> None:
        """Raises NoAgentsFoundError when the agent that wrote `control` does not answer."""
        self.timeout, self.control = timeout, control
        self.device: DeviceId | None = None
        self._numbers = itertools.count(1)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        address = parse_address(control.address)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
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
        self._socket.connect(f"tcp://{address.host}:{address.port}")
        self._early: dict[int, list[Envelope]] = {}
        try:
            self.request(Ping(), Done, seconds=min(_OPEN_SECONDS, timeout))
        except (TimedOutError, LinkLostError) as error:
            self.close()
            raise NoAgentsFoundError(f"the agent of this home does not answer at {control.address}") from error

    def request(self, message: Any, answer: type[M], device: DeviceId | None = None, seconds: float | None = None) -> M:
        """The one answer. Raises what was refused, TimedOutError, LinkLostError."""
        for item in self.stream(message, device, self.timeout if seconds is None else seconds):
            if isinstance(item, answer):
                return item
            raise ProtocolError(f"{type(message).__name__} was answered with {type(item).__name__}")
        if answer is Done:  # the end itself was the answer
            return answer()
        raise ProtocolError(f"{type(message).__name__} was not answered")

    def stream(self, message: Any, device: DeviceId | None = None, seconds: float | None = None) -> Iterator[Any]:
        """Answers until the end; without `seconds`, as long as the agent lives. Leaving early cancels it there."""
        yield from self._answers(self._send(self._for(device or self.device, message)), seconds)

    def request_all(
        self, message_by_device: Mapping[DeviceId, Any], answer: type[M], seconds: float
    ) -> dict[DeviceId, M | CellmindError]:
        """Asks all devices at once; of each the one answer, or why there is none."""
        numbers = {device: self._send(self._for(device, message)) for device, message in message_by_device.items()}
        found: dict[DeviceId, M | CellmindError] = {}
        for device, number in numbers.items():
            try:
                item = next(self._answers(number, seconds), None)
                found[device] = item if isinstance(item, answer) else ProtocolError(f"{device} did not answer")
            except CellmindError as error:
                found[device] = error
        return found

    def _for(self, device: DeviceId | None, message: Any) -> Any:
        """The message as it is to be sent: our agent passes on what is for another device."""
        if device is None or device == self.control.device:
            return message
        return Relay(device=device, body=encode(Envelope(kind="request", correlation=0, message=message)))

    def _answers(self, number: int, seconds: float | None) -> Iterator[Any]:
        is_over = False
        try:
            while not is_over:
                envelope = self._receive(number, seconds)
                is_over = envelope.kind == "end"
                if isinstance(envelope.message, Refused):
                    refused = envelope.message
                    raise error_from_wire(refused.code, refused.message, refused.hint)
                if not is_over or not isinstance(envelope.message, Done):
                    yield envelope.message
        finally:
            self._early.pop(number, None)
            if not is_over:
                with contextlib.suppress(LinkLostError):
                    self._post(number, Cancel())

    def close(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close()
        self._context.term()

    def _send(self, message: Any) -> int:
        number = next(self._numbers)
        self._post(number, message)
        return number

    def _post(self, number: int, message: Any) -> None:
        """Raises LinkLostError rather than wait for an agent that is gone."""
        try:
            data = encode(Envelope(kind="request", correlation=number, message=message))
            self._socket.send(data, flags=zmq.NOBLOCK)
        except zmq.Again as error:
            raise LinkLostError("the agent went away", _GONE_HINT) from error

    def _receive(self, number: int, seconds: float | None) -> Envelope:
        """The next answer to `number`; answers to others are kept for them."""
        deadline = None if seconds is None else time.monotonic() + seconds
        pulse: int | None = None
        self._early.setdefault(number, [])
        while not self._early[number]:
            patience = _PULSE_SECONDS if deadline is None else deadline - time.monotonic()
            ready = dict(self._poller.poll(max(0, int(patience * 1000))))
            if self._monitor in ready and self._socket not in ready:
                raise LinkLostError("the agent went away", _GONE_HINT)
            if self._socket not in ready:
                if deadline is not None:
                    raise TimedOutError(f"no answer within {seconds:g} s")
                if pulse is not None:
                    raise LinkLostError("the agent went away", _GONE_HINT)
                pulse = self._send(Ping())
                continue
            envelope = decode(self._socket.recv())
            if envelope.correlation == pulse:
                pulse = None
            else:
                self._early.setdefault(envelope.correlation, []).append(envelope)
        return self._early[number].pop(0)
