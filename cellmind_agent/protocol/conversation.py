"""The asking side of one connection: numbers requests, matches answers to them, and knows how each exchange ends.

Bytes in, values out. Knows no sockets, clocks or event loops: `network/link` (async) and `cellmind_ctl/client` (sync)
are two thin shells around it. The life of one exchange:

    state  event                               next   what `take` finds after the answers that came before
    open   answer                              open   the answer
    open   end with an answer                  over   the answer, then None
    open   end with Done                       over   None; Done itself if Done is the declared answer
    open   Refused                             over   the error that it stands for
    open   an answer that is not declared      over   ProtocolError
    open   more than MAX_WAITING_ANSWERS wait  over   LinkLostError
    open   the connection is lost              over   the error given to `lose`
    open   the asker leaves                    over   nothing: `leave` makes the Cancel to send
    over   anything                            over   as before
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Generic, TypeVar, cast

from cellmind_agent.protocol.codec import Envelope, decode, encode
from cellmind_agent.protocol.errors import CellmindError, LinkLostError, ProtocolError, error_from_wire
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_WAITING_ANSWERS
from cellmind_agent.protocol.messages import REQUESTS, Cancel, Done, Refused, Relay, Request, StreamRequest

A = TypeVar("A", covariant=True)
T = TypeVar("T")


class Exchange(Generic[A]):
    """One request and its answers. `frame` is the encoded request, to be sent by the shell."""

    def __init__(self, number: int, request_name: str, answer_types: tuple[type, ...], frame: bytes) -> None:
        self.number, self.frame = number, frame
        self.is_ended_by_peer = False
        self._request_name, self._answer_types = request_name, answer_types
        self._is_over = False
        self._answers: deque[A] = deque()
        self._error: CellmindError | None = None

    @property
    def is_ready(self) -> bool:
        """Whether `take` has something to return or to raise."""
        return bool(self._answers) or self._is_over

    def take(self) -> A | None:
        """The next answer, or None after the last. Raises the error that ended the exchange. Needs `is_ready`."""
        assert self.is_ready
        if self._answers:
            return self._answers.popleft()
        if self._error is not None:
            raise self._error
        return None

    def take_only(self) -> A:
        """The answer of a request that gets one. Raises as `take`, and ProtocolError if there was none."""
        answer = self.take()
        if answer is None:
            raise ProtocolError("{request_name} was not answered", request_name=self._request_name)
        return answer

    def hear(self, envelope: Envelope) -> None:
        """Take in one answer of the other side."""
        message, is_end = envelope.message, envelope.kind == "end"
        self.is_ended_by_peer |= is_end
        if self._is_over:
            return
        if isinstance(message, Refused):
            self.fail(error_from_wire(message.code, message.message, message.hint))
        elif is_end and isinstance(message, Done) and Done not in self._answer_types:
            pass  # a stream ends without a last answer
        elif not isinstance(message, self._answer_types):
            self.fail(
                ProtocolError(
                    "{request_name} was answered with {what}",
                    request_name=self._request_name,
                    what=type(message).__name__,
                )
            )
        elif len(self._answers) >= MAX_WAITING_ANSWERS:
            self.fail(
                LinkLostError(
                    "the answers to {request_name} came faster than they were read", request_name=self._request_name
                )
            )
        else:
            self._answers.append(cast(A, message))
        self._is_over |= is_end

    def fail(self, error: CellmindError) -> None:
        """End the exchange, if it is not over; `take` raises `error` after the answers that came before."""
        if not self._is_over:
            self._is_over, self._error = True, error


class Conversation:
    """All exchanges of one connection that are under way."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._exchanges: dict[int, Exchange[object]] = {}

    def ask(self, request: Request[T] | StreamRequest[T], relay_to: DeviceId | None = None) -> Exchange[T]:
        """A new exchange; the shell sends its frame. With `relay_to`, the other side passes the request on to that
        device. Raises ProtocolError if the request is too large."""
        message: object = request
        if relay_to is not None:
            message = Relay(device=relay_to, body=encode(Envelope(kind="request", correlation=0, message=request)))
        return self._begin(message, type(request).__name__, REQUESTS[type(request)].answers)

    def forward(self, message: object) -> Exchange[object]:
        """A new exchange for another asker, who checks the answers."""
        return self._begin(message, type(message).__name__, (object,))

    def receive(self, frame: bytes) -> None:
        """Hand a frame to its exchange. Raises ProtocolError if it is no message."""
        self.hear(decode(frame))

    def hear(self, envelope: Envelope) -> int | None:
        """Hand an envelope to its exchange; that exchange's number, None if nothing is under way with it."""
        exchange = self._exchanges.get(envelope.correlation)
        if exchange is None:
            return None
        exchange.hear(envelope)
        if exchange.is_ended_by_peer:
            del self._exchanges[exchange.number]
        return exchange.number

    def leave(self, exchange: Exchange[object]) -> bytes | None:
        """Forget an exchange. The Cancel to send if the other side still works on it, else None."""
        if self._exchanges.pop(exchange.number, None) is None:
            return None
        return encode(Envelope(kind="request", correlation=exchange.number, message=Cancel()))

    def lose(self, error: CellmindError) -> None:
        """The connection is lost: every exchange that is under way fails."""
        for exchange in self._exchanges.values():
            exchange.fail(error)
        self._exchanges.clear()

    def _begin(self, message: object, request_name: str, answer_types: tuple[type, ...]) -> Exchange[T]:
        number = next(self._numbers)
        frame = encode(Envelope(kind="request", correlation=number, message=message))
        exchange: Exchange[T] = Exchange(number, request_name, answer_types, frame)
        self._exchanges[number] = exchange
        return exchange
