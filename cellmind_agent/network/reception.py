"""The answering side: checks every frame that comes in (its form, its size, the caller's permission), and calls the
one handler of its request.

Knows who asks, by the key that CURVE proved; knows nothing of what is asked. A handler is a coroutine that returns the
one answer of a `Request`, or an async generator of the answers of a `StreamRequest`. What it raises becomes a Refused,
and the agent goes on (I9). Answers are handed to the link that asked; pieces of a tunnel to the tunnel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from cellmind_agent.network.channel import Channel
from cellmind_agent.protocol.codec import Envelope, Kind, correlation_of, decode, encode
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    LinkLostError,
    NotAllowedError,
    NotPairedError,
    ProtocolError,
)
from cellmind_agent.protocol.limits import (
    MAX_REFUSAL_HINT_CHARACTERS,
    MAX_REFUSAL_MESSAGE_CHARACTERS,
    MAX_REQUESTS_PER_CALLER,
)
from cellmind_agent.protocol.messages import REQUESTS, Cancel, Declaration, Done, Refused
from cellmind_agent.trust.permissions import Caller, may_ask
from model.line.sentence import Sentence

# Each handler takes its own type of request, which the type of a dictionary cannot express; tests check it.
Handler = Callable[[Any, Caller], Any]
IdentifyCaller = Callable[[Channel], Caller]
_log = logging.getLogger(__name__)


class Reception:
    """Takes the frames of every channel."""

    def __init__(self, identify: IdentifyCaller, handlers: Mapping[type, Handler] | None = None) -> None:
        """`identify(channel)` returns who is at its other end; it is called for every message, because a device may
        have been removed a moment ago."""
        self._identify = identify
        self.handlers: dict[type, Handler] = {}  # by type of request
        self.add_handlers(handlers or {})
        self._tasks: dict[tuple[Channel, int], asyncio.Task[None]] = {}
        self._num_tasks: Counter[bytes] = Counter()  # by key
        self.heard_at: dict[bytes, float] = {}  # by key: when anything last came in, on the loop's clock

    def add_handlers(self, handlers: Mapping[type, Handler]) -> None:
        """Serve these types of request, each of which has no handler yet."""
        assert not self.handlers.keys() & handlers.keys(), "a request has two handlers"
        assert handlers.keys() <= REQUESTS.keys(), "a handler for a message that is not a request"
        self.handlers.update(handlers)

    def hear(self, channel: Channel, frames: Sequence[memoryview]) -> None:
        """Take one message of a channel, or one piece of the tunnel that it carries."""
        self.heard_at[channel.curve_key] = asyncio.get_running_loop().time()
        if len(frames) > 1:
            if channel.carries:
                channel.carries(frames)
            return
        data = bytes(frames[0])
        try:
            envelope = decode(data)
        except ProtocolError as error:
            number = correlation_of(data)
            if number is not None:
                self._spawn(channel, number, self._refuse(channel, number, error))
            return
        if envelope.kind != "request":
            if channel.answers:
                channel.answers(envelope)
        elif isinstance(envelope.message, Cancel):
            under_way = self._tasks.get((channel, envelope.correlation))
            if under_way:
                under_way.cancel()
        else:
            self._spawn(channel, envelope.correlation, self._answer(channel, envelope))

    async def drop(self, is_unwanted: Callable[[bytes], bool]) -> None:
        """Cancel every request of callers whose key is unwanted, except the one that this is called from."""
        me = asyncio.current_task()
        tasks = [task for (channel, _), task in self._tasks.items() if is_unwanted(channel.curve_key)]
        tasks = [task for task in tasks if task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in [key for key in self.heard_at if is_unwanted(key)]:
            del self.heard_at[key]

    def _spawn(self, channel: Channel, number: int, work: Coroutine[Any, Any, None]) -> None:
        key = (channel, number)
        # Twice: besides the requests that are served, as many refusals. A flood beyond that is not even refused.
        if key in self._tasks or self._num_tasks[channel.curve_key] >= 2 * MAX_REQUESTS_PER_CALLER:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks[key] = task
        self._num_tasks[channel.curve_key] += 1
        task.add_done_callback(lambda _: self._forget(key, channel.curve_key))

    def _forget(self, key: tuple[Channel, int], curve_key: bytes) -> None:
        del self._tasks[key]
        self._num_tasks[curve_key] -= 1
        if not self._num_tasks[curve_key]:
            del self._num_tasks[curve_key]

    async def _answer(self, channel: Channel, envelope: Envelope) -> None:
        number, name = envelope.correlation, type(envelope.message).__name__
        caller = self._identify(channel)
        try:
            await self._handle(channel, number, caller, envelope.message)
        except LinkLostError as error:
            await self._refuse(channel, number, error)
        except CellmindError as error:
            _log.info("refused %s of %s: %s", name, caller.device or "a stranger", error)
            await self._refuse(channel, number, error)
        except Exception as error:
            _log.exception("%s failed", name)
            bug = CellmindError("{what} in the agent; its log says more", what=type(error).__name__)
            await self._refuse(channel, number, bug)

    async def _handle(self, channel: Channel, number: int, caller: Caller, message: object) -> None:
        declared, handler = self._checked(caller, type(message))
        if not declared.is_stream:
            await self._send(channel, "end", number, _checked_answer(declared, await handler(message, caller)))
            return
        async with contextlib.aclosing(handler(message, caller)) as answers:
            async for answer in answers:
                await self._send(channel, "answer", number, _checked_answer(declared, answer))
        await self._send(channel, "end", number, Done())

    def _checked(self, caller: Caller, message_type: type) -> tuple[Declaration, Handler]:
        """The declaration and the handler of a request that this caller may ask now; `decode` has checked its size."""
        handler = self.handlers.get(message_type)
        if handler is None or not may_ask(caller, message_type):
            if caller.kind == "stranger":
                raise NotPairedError("this device is not paired with that cell")
            raise NotAllowedError("{what} may not be asked by another device", what=message_type.__name__)
        if self._num_tasks[caller.curve_key] > MAX_REQUESTS_PER_CALLER:
            raise BusyError("too many requests at once", "wait for some of them to end")
        return REQUESTS[message_type], handler

    async def _send(self, channel: Channel, kind: Kind, number: int, message: object) -> None:
        await channel.send(encode(Envelope(kind=kind, correlation=number, message=message)))

    async def _refuse(self, channel: Channel, number: int, error: CellmindError) -> None:
        try:
            await self._send(channel, "end", number, refusal(error))
        except LinkLostError:
            pass


def refusal(error: CellmindError) -> Refused:
    """An error in wire form."""
    return Refused(
        code=error.code,
        message=_shortened(error.message, MAX_REFUSAL_MESSAGE_CHARACTERS),
        hint=_shortened(error.hint, MAX_REFUSAL_HINT_CHARACTERS),
    )


def _shortened(sentence: Sentence, max_characters: int) -> Sentence:
    return sentence if len(sentence) <= max_characters else Sentence(sentence[:max_characters])


def _checked_answer(declared: Declaration, answer: object) -> object:
    if not isinstance(answer, declared.answers):
        raise TypeError(f"the handler of {declared.name} answered with {type(answer).__name__}")
    return answer
