"""The answering side: every frame that comes in is checked for right and sense, and handed to its one handler.

Knows who asks (by the key that CURVE proved) and whether they may; knows no subject. A handler is a coroutine that
returns one message, or an async generator of many. Whatever it raises becomes a Refused; the agent goes on (I9).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

from cellmind_agent.network.wire import Arrival, Listener
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
Recognise = Callable[[bytes, str], Caller]
_log = logging.getLogger(__name__)


class Reception:
    """Serves a listener until cancelled."""

    def __init__(self, listener: Listener, recognise: Recognise, handlers: dict[type, Handler]) -> None:
        """`recognise(curve_key, host)` says who a key is now; it is asked for every single message."""
        self._listener, self._recognise, self._handlers = listener, recognise, handlers
        self._tasks: dict[tuple[bytes, int], tuple[asyncio.Task[None], bytes]] = {}
        self._load: Counter[bytes] = Counter()

    async def serve(self) -> None:
        try:
            async for arrival in self._listener.arrivals():
                await self._receive(arrival)
        finally:
            await self.drop(lambda _: True)

    def is_serving(self, curve_key: bytes) -> bool:
        """Is a request of this key under way?"""
        return curve_key in self._load

    async def drop(self, unwanted: Callable[[bytes], bool]) -> None:
        """End every request under way of callers whose key is unwanted, but for the one that asks for this."""
        me = asyncio.current_task()
        tasks = [task for task, key in self._tasks.values() if unwanted(key) and task is not me]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, arrival: Arrival) -> None:
        caller = self._recognise(arrival.curve_key, arrival.host)
        try:
            envelope = decode(arrival.data)
        except ProtocolError as error:
            number = correlation_of(arrival.data)
            if number is not None:
                self._spawn(arrival, number, self._refuse(arrival.route, number, error))
            return
        if envelope.kind != "request":
            return
        if isinstance(envelope.message, Cancel):
            under_way = self._tasks.get((arrival.route, envelope.correlation))
            if under_way:
                under_way[0].cancel()
            return
        self._spawn(arrival, envelope.correlation, self._answer(arrival, envelope, caller))

    def _spawn(self, arrival: Arrival, number: int, work: Any) -> None:
        key = (arrival.route, number)
        if key in self._tasks:
            work.close()
            return
        if self._load[arrival.curve_key] >= 2 * MAX_REQUESTS_PER_CALLER:
            work.close()  # a flood: not even worth refusals
            return
        task = asyncio.create_task(work)
        self._tasks[key] = (task, arrival.curve_key)
        self._load[arrival.curve_key] += 1
        task.add_done_callback(lambda _: self._forget(key, arrival.curve_key))

    def _forget(self, key: tuple[bytes, int], curve_key: bytes) -> None:
        del self._tasks[key]
        self._load[curve_key] -= 1
        if not self._load[curve_key]:
            del self._load[curve_key]

    async def _answer(self, arrival: Arrival, envelope: Envelope, caller: Caller) -> None:
        number, message = envelope.correlation, envelope.message
        try:
            self._check(caller, message)
            result = self._handlers[type(message)](message, caller)
            if inspect.isasyncgen(result):
                try:
                    async for item in result:
                        await self._send(arrival.route, "answer", number, item)
                finally:
                    await result.aclose()
                await self._send(arrival.route, "end", number, Done())
            else:
                await self._send(arrival.route, "end", number, await result)
        except LinkLostError as error:
            await self._refuse(arrival.route, number, error)
        except CellmindError as error:
            _log.info("%s refused to %s: %s", type(message).__name__, caller.device or "a stranger", error)
            await self._refuse(arrival.route, number, error)
        except Exception as error:
            _log.exception("%s failed", type(message).__name__)
            await self._refuse(
                arrival.route, number, CellmindError(f"{type(error).__name__} in the agent; its log says more")
            )

    def _check(self, caller: Caller, message: Any) -> None:
        if not may_ask(caller, type(message)) or type(message) not in self._handlers:
            if caller.standing == "stranger":
                raise NotPairedError("this device is not paired with that cell")
            raise NotAllowedError(f"{type(message).__name__} may not be asked by another device")
        if self._load[caller.curve_key] > MAX_REQUESTS_PER_CALLER:
            raise BusyError("too many requests at once", "wait for some of them to end")

    async def _send(self, route: bytes, kind: Any, number: int, message: Any) -> None:
        await self._listener.send(route, encode(Envelope(kind=kind, correlation=number, message=message)))

    async def _refuse(self, route: bytes, number: int, error: CellmindError) -> None:
        try:
            await self._send(route, "end", number, refusal(error))
        except LinkLostError:
            pass


def refusal(error: CellmindError) -> Refused:
    """An error in wire form, cut to a screen's length."""
    return Refused(code=error.code, message=error.message[:2000], hint=error.hint[:500])
