"""The answering side: every frame that comes in is checked for right and sense, and handed to its one handler.

Knows who asks (by the key that CURVE proved) and whether they may; knows no subject. A handler is a coroutine that
returns one message, or an async generator of many. Whatever it raises becomes a Refused; the agent goes on (I9).
Answers go on to the link that asked, and what is no message to whom the channel carries it for.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from cellmind_agent.network.wire import Channel
from cellmind_agent.protocol.codec import Envelope, correlation_of, decode, encode
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    LinkLostError,
    NotAllowedError,
    NotPairedError,
    ProtocolError,
)
from cellmind_agent.protocol.limits import MAX_REQUESTS_PER_CALLER
from cellmind_agent.protocol.messages import Cancel, Done, Refused
from cellmind_agent.trust.permissions import Caller, may_ask

Handler = Callable[[Any, Caller], Any]
Recognise = Callable[[Channel], Caller]
_log = logging.getLogger(__name__)


class Reception:
    """What every channel's frames are handed to."""

    def __init__(self, recognise: Recognise, handlers: dict[type, Handler] | None = None) -> None:
        """`recognise(channel)` says who its other end is now; it is asked for every single message."""
        self._recognise = recognise
        self.handlers = handlers or {}  # by type of request; who answers may come later
        self._tasks: dict[tuple[Channel, int], asyncio.Task[None]] = {}
        self._load: Counter[bytes] = Counter()
        self.heard_at: dict[bytes, float] = {}  # by key: when anything last came in, on the loop's clock

    def hear(self, channel: Channel, frames: Sequence[memoryview]) -> None:
        """One message of a channel, or one piece of what it carries."""
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

    async def drop(self, unwanted: Callable[[bytes], bool]) -> None:
        """End every request under way of callers whose key is unwanted, but for the one that asks for this."""
        me = asyncio.current_task()
        tasks = [task for (channel, _), task in self._tasks.items() if unwanted(channel.curve_key) and task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key in [key for key in self.heard_at if unwanted(key)]:
            del self.heard_at[key]

    def _spawn(self, channel: Channel, number: int, work: Any) -> None:
        key = (channel, number)
        if key in self._tasks:
            work.close()
            return
        if self._load[channel.curve_key] >= 2 * MAX_REQUESTS_PER_CALLER:
            work.close()  # a flood: not even worth refusals
            return
        task = asyncio.create_task(work)
        self._tasks[key] = task
        self._load[channel.curve_key] += 1
        task.add_done_callback(lambda _: self._forget(key, channel.curve_key))

    def _forget(self, key: tuple[Channel, int], curve_key: bytes) -> None:
        del self._tasks[key]
        self._load[curve_key] -= 1
        if not self._load[curve_key]:
            del self._load[curve_key]

    async def _answer(self, channel: Channel, envelope: Envelope) -> None:
        number, message = envelope.correlation, envelope.message
        caller = self._recognise(channel)
        try:
            self._check(caller, message)
            result = self.handlers[type(message)](message, caller)
            if inspect.isasyncgen(result):
                try:
                    async for item in result:
                        await self._send(channel, "answer", number, item)
                finally:
                    await result.aclose()
                await self._send(channel, "end", number, Done())
            else:
                await self._send(channel, "end", number, await result)
        except LinkLostError as error:
            await self._refuse(channel, number, error)
        except CellmindError as error:
            _log.info("%s refused to %s: %s", type(message).__name__, caller.device or "a stranger", error)
            await self._refuse(channel, number, error)
        except Exception as error:
            _log.exception("%s failed", type(message).__name__)
            await self._refuse(
                channel, number, CellmindError(f"{type(error).__name__} in the agent; its log says more")
            )

    def _check(self, caller: Caller, message: Any) -> None:
        if not may_ask(caller, type(message)) or type(message) not in self.handlers:
            if caller.standing == "stranger":
                raise NotPairedError("this device is not paired with that cell")
            raise NotAllowedError(f"{type(message).__name__} may not be asked by another device")
        if self._load[caller.curve_key] > MAX_REQUESTS_PER_CALLER:
            raise BusyError("too many requests at once", "wait for some of them to end")

    async def _send(self, channel: Channel, kind: Any, number: int, message: Any) -> None:
        await channel.send(encode(Envelope(kind=kind, correlation=number, message=message)))

    async def _refuse(self, channel: Channel, number: int, error: CellmindError) -> None:
        try:
            await self._send(channel, "end", number, refusal(error))
        except LinkLostError:
            pass


def refusal(error: CellmindError) -> Refused:
    """An error in wire form, cut to a screen's length."""
    return Refused(code=error.code, message=error.message[:2000], hint=error.hint[:500])
