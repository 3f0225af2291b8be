"""Requests over a connection: each gets one answer, or a stream of them. Knows correlation numbers; no meaning.

A link is open or lost. When it is lost every request under way fails at once with LinkLostError.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from cellmind_agent.network.wire import Connection
from cellmind_agent.protocol.codec import Envelope, decode, encode
from cellmind_agent.protocol.errors import LinkLostError, ProtocolError, TimedOutError, error_from_wire
from cellmind_agent.protocol.limits import REQUEST_SECONDS
from cellmind_agent.protocol.messages import Cancel, Done, Refused

M = TypeVar("M")
_log = logging.getLogger(__name__)
_BUFFERED = 4096  # answers of one stream that wait for a slow reader; then the stream fails


class Link:
    """The asking side of one connection."""

    def __init__(self, connection: Connection) -> None:
        """`connection` must be open. Runs until `close`, or until the connection is lost."""
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[Envelope | Exception]] = {}
        self._task = asyncio.create_task(self._run(), name=f"link {connection.address}")
        self.address = connection.address

    @property
    def is_lost(self) -> bool:
        return self._task.done()

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
            raise LinkLostError(f"the link to {self.address} is lost")
        number = next(self._numbers)
        queue: asyncio.Queue[Envelope | Exception] = asyncio.Queue(_BUFFERED)
        self._waiting[number] = queue
        is_over = False
        try:
            await self._connection.send(encode(Envelope(kind="request", correlation=number, message=message)))
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

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def lost(self) -> None:
        """Returns when the link is lost or closed."""
        await asyncio.wait({self._task})

    async def _cancel(self, number: int) -> None:
        try:
            await self._connection.send(encode(Envelope(kind="request", correlation=number, message=Cancel())))
        except LinkLostError:
            pass

    async def _run(self) -> None:
        receiving = asyncio.create_task(self._receive())
        losing = asyncio.create_task(self._connection.lost())
        try:
            await asyncio.wait({receiving, losing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiving, losing):
                task.cancel()
            await asyncio.gather(receiving, losing, return_exceptions=True)
            self._connection.close()
            for queue in list(self._waiting.values()):
                self._push(queue, LinkLostError(f"the link to {self.address} was lost"))

    async def _receive(self) -> None:
        while True:
            try:
                envelope = decode(await self._connection.receive())
            except ProtocolError as error:
                _log.warning("from %s: %s", self.address, error)
                continue
            queue = self._waiting.get(envelope.correlation)
            if queue is not None and envelope.kind != "request":
                self._push(queue, envelope)

    def _push(self, queue: asyncio.Queue[Envelope | Exception], item: Envelope | Exception) -> None:
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            queue.get_nowait()
            queue.put_nowait(LinkLostError(f"the answers from {self.address} came faster than they were read"))
