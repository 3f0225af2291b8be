"""Requests over a channel: each gets one answer, or a stream of them. Knows correlation numbers; no meaning.

Either end of a channel may ask. A link is open or lost; when it is lost every request under way fails at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from cellmind_agent.network.wire import Channel
from cellmind_agent.protocol.codec import Envelope, encode
from cellmind_agent.protocol.errors import LinkLostError, ProtocolError, TimedOutError, error_from_wire
from cellmind_agent.protocol.limits import REQUEST_SECONDS
from cellmind_agent.protocol.messages import Cancel, Done, Refused

M = TypeVar("M")
_BUFFERED = 4096  # answers of one stream that wait for a slow reader; then the stream fails


class Link:
    """The asking side of one channel."""

    def __init__(self, channel: Channel) -> None:
        """`channel` must be open."""
        self.channel = channel
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Envelope | Exception]] = {}
        channel.answers = self._hear
        channel.when_lost(self._lose)

    @property
    def is_lost(self) -> bool:
        return self.channel.is_lost

    async def request(self, message: Any, answer: type[M], seconds: float = REQUEST_SECONDS) -> M:
        """The one answer. Raises what the other side refused with, LinkLostError, TimedOutError, ProtocolError."""
        try:
            async with asyncio.timeout(seconds):
                async for item in self.stream(message):
                    if isinstance(item, answer):
                        return item
                    raise ProtocolError(f"{type(message).__name__} was answered with {type(item).__name__}")
        except TimeoutError as error:
            raise TimedOutError(f"no answer to {type(message).__name__} within {seconds:g} s") from error
        if answer is Done:  # the end itself was the answer
            return answer()
        raise ProtocolError(f"{type(message).__name__} was not answered")

    async def stream(self, message: Any) -> AsyncIterator[Any]:
        """Every answer, until the other side ends the stream. Leaving early cancels it there. Raises as `request`."""
        if self.is_lost:
            raise LinkLostError(f"the link to {self.channel.name} is lost")
        number = next(self._numbers)
        queue: asyncio.Queue[Envelope | Exception] = asyncio.Queue(_BUFFERED)
        self._waiting[number] = queue
        is_over = False
        try:
            await self.channel.send(encode(Envelope(kind="request", correlation=number, message=message)))
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    is_over = True
                    raise item
                is_over = item.kind == "end"
                if isinstance(item.message, Refused):
                    raise error_from_wire(item.message.code, item.message.message, item.message.hint)
                if not is_over or not isinstance(item.message, Done):
                    yield item.message
                if is_over:
                    return
        finally:
            self._waiting.pop(number, None)
            if not is_over and not self.is_lost:
                await self._cancel(number)

    async def lost(self) -> None:
        """Returns when the link is lost or closed."""
        await self.channel.lost()

    def when_lost(self, do: Callable[[], None]) -> None:
        self.channel.when_lost(do)

    async def _cancel(self, number: int) -> None:
        try:
            await self.channel.send(encode(Envelope(kind="request", correlation=number, message=Cancel())))
        except LinkLostError:
            pass

    def _hear(self, envelope: Envelope) -> None:
        queue = self._waiting.get(envelope.correlation)
        if queue is not None:
            self._push(queue, envelope)

    def _lose(self) -> None:
        for queue in list(self._waiting.values()):
            self._push(queue, LinkLostError(f"the link to {self.channel.name} was lost"))

    def _push(self, queue: asyncio.Queue[Envelope | Exception], item: Envelope | Exception) -> None:
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            queue.get_nowait()
            queue.put_nowait(LinkLostError(f"the answers from {self.channel.name} came faster than they were read"))
