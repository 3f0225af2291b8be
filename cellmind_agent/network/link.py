"""Requests over a channel, in asyncio. Knows when to wait and for how long; `protocol/conversation` knows the rest.

Either end of a channel may ask. A link is open or lost; when it is lost, every request under way fails at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import TypeVar

from cellmind_agent.network.channel import Channel
from cellmind_agent.protocol.codec import Envelope
from cellmind_agent.protocol.conversation import Conversation, Exchange
from cellmind_agent.protocol.errors import LinkLostError, TimedOutError
from cellmind_agent.protocol.limits import REQUEST_SECONDS
from cellmind_agent.protocol.messages import Request, StreamRequest

A = TypeVar("A")


class Link:
    """The asking side of one channel."""

    def __init__(self, channel: Channel) -> None:
        """`channel` must be open."""
        self.channel = channel
        self._conversation = Conversation()
        self._arrivals: dict[int, asyncio.Event] = {}  # by exchange: set when there is something to take
        channel.answers = self._hear
        channel.when_lost(self._lose)

    @property
    def is_lost(self) -> bool:
        return self.channel.is_lost

    async def request(self, message: Request[A], seconds: float | None = REQUEST_SECONDS) -> A:
        """The one answer. Raises what the other side refused with, LinkLostError, TimedOutError, ProtocolError."""
        self._check_open()
        exchange = self._conversation.ask(message)
        try:
            async with asyncio.timeout(seconds):
                await self._send(exchange)
                await self._until_ready(exchange)
        except TimeoutError as error:
            raise TimedOutError(
                "no answer to {what} within {seconds} s", what=type(message).__name__, seconds=f"{seconds:g}"
            ) from error
        else:
            return exchange.take_only()
        finally:
            await self._leave(exchange)

    def stream(self, message: StreamRequest[A]) -> AsyncGenerator[A, None]:
        """Every answer, until the other side ends the stream. Leaving early cancels it there. Raises as `request`, but
        for TimedOutError."""
        return self._answers(partial(self._conversation.ask, message))

    def forward(self, message: object) -> AsyncGenerator[object, None]:
        """As `stream`, for a request of somebody else, who checks the answers."""
        return self._answers(partial(self._conversation.forward, message))

    def when_lost(self, do: Callable[[], None]) -> None:
        """Call `do` once in the event loop when the link is lost, or soon if it is lost already."""
        self.channel.when_lost(do)

    async def _answers(self, begin: Callable[[], Exchange[A]]) -> AsyncGenerator[A, None]:
        self._check_open()
        exchange = begin()
        try:
            await self._send(exchange)
            while True:
                await self._until_ready(exchange)
                answer = exchange.take()
                if answer is None:
                    return
                yield answer
        finally:
            await self._leave(exchange)

    def _check_open(self) -> None:
        if self.is_lost:
            raise LinkLostError("the link to {channel} is lost", channel=self.channel.name)

    async def _send(self, exchange: Exchange[object]) -> None:
        self._arrivals[exchange.number] = asyncio.Event()
        await self.channel.send(exchange.frame)

    async def _until_ready(self, exchange: Exchange[object]) -> None:
        arrival = self._arrivals[exchange.number]
        while not exchange.is_ready:
            arrival.clear()
            await arrival.wait()

    async def _leave(self, exchange: Exchange[object]) -> None:
        self._arrivals.pop(exchange.number, None)
        cancel = self._conversation.leave(exchange)
        if cancel is not None:
            try:
                await self.channel.send(cancel)
            except LinkLostError:
                pass

    def _hear(self, envelope: Envelope) -> None:
        number = self._conversation.hear(envelope)
        if number in self._arrivals:
            self._arrivals[number].set()

    def _lose(self) -> None:
        self._conversation.lose(LinkLostError("the link to {channel} was lost", channel=self.channel.name))
        for arrival in self._arrivals.values():
            arrival.set()
