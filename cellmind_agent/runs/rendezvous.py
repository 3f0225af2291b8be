"""The process group's store, through which trainers find each other. Only the leader's agent serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    NotAllowedError,
    ProtocolError,
    StorageFullError,
    TimedOutError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import MAX_STORE_BYTES, STORE_WAIT_SECONDS
from model.line import meeting as line
from model.line.declare import Done
from model.line.meeting import StoreCall


class Rendezvous:
    """The keys of one run and term. Semantics are those of `torch.distributed.Store`."""

    def __init__(self, run: RunId, term: int) -> None:
        self.run, self.term = run, term
        self._values: dict[str, bytes] = {}
        self._changed = asyncio.Condition()
        self._is_over = False

    async def end(self) -> None:
        """The term is over: all who wait for a key are refused."""
        async with self._changed:
            self._is_over = True
            self._changed.notify_all()

    async def answer(self, request: m.StoreRequest) -> m.StoreAnswer:
        """Raises TimedOutError, StorageFullError, ProtocolError."""
        match request:
            case m.StoreSet(key=key, data=data):
                await self._put(key, data)
                return m.Done()
            case m.StoreGet(keys=keys, seconds=seconds):
                await self._wait(keys, seconds)
                return m.StoreValue(data=self._values[keys[0]] if keys else b"")
            case m.StoreAdd(key=key, amount=amount):
                return m.StoreNumber(number=await self._add(key, amount))
            case m.StoreCompareSet(key=key, expected=expected, desired=desired):
                return m.StoreValue(data=await self._compare_set(key, expected, desired))
            case m.StoreCheck(keys=keys):
                return m.StoreNumber(number=int(all(key in self._values for key in keys)))
            case m.StoreDelete(key=key):
                return m.StoreNumber(number=int(self._values.pop(key, None) is not None))

    async def _put(self, key: str, data: bytes) -> None:
        held = sum(len(name) + len(value) for name, value in self._values.items())
        if held + len(key) + len(data) > MAX_STORE_BYTES:
            raise StorageFullError("the rendezvous store is full")
        async with self._changed:
            self._values[key] = data
            self._changed.notify_all()

    async def _wait(self, keys: Iterable[str], seconds: float) -> None:
        def is_decided() -> bool:
            return self._is_over or all(key in self._values for key in keys)

        try:
            async with asyncio.timeout(min(seconds, STORE_WAIT_SECONDS)), self._changed:
                await self._changed.wait_for(is_decided)
        except TimeoutError as error:
            missing = sorted(key for key in keys if key not in self._values)
            raise TimedOutError(
                "nobody set {missing} within {seconds} s", missing=", ".join(missing)[:200], seconds=f"{seconds:g}"
            ) from error
        if self._is_over:
            raise _is_over(self.run, self.term)

    async def _add(self, key: str, amount: int) -> int:
        try:
            number = int(self._values.get(key, b"0")) + amount
        except ValueError as error:
            raise ProtocolError("{key} is not a number", key=f"{key!r:.60}") from error
        # No other request comes between: nobody holds the lock while suspended, so `_put` does not wait for it.
        await self._put(key, str(number).encode())
        return number

    async def _compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        present = self._values.get(key)
        if present == expected or (present is None and not expected):
            await self._put(key, desired)
            return desired
        return expected if present is None else present


class Stores:
    """The stores of the runs that this device leads: one a run, of its latest term."""

    def __init__(self) -> None:
        self._stores: dict[RunId, Rendezvous] = {}

    def last_term(self, run: RunId) -> int:
        """The term of the run's store; 0 before the first."""
        return self._stores[run].term if run in self._stores else 0

    async def open(self, run: RunId, term: int) -> None:
        """Begin the run's next term with an empty store, and end the one before it."""
        before = self._stores.get(run)
        self._stores[run] = Rendezvous(run, term)
        if before:
            await before.end()

    def close(self, run: RunId) -> None:
        """Forget the run, and its terms."""
        self._stores.pop(run, None)

    async def answer(self, request: m.StoreRequest) -> m.StoreAnswer:
        """Raises UnknownNameError (this device does not lead the run), NotAllowedError (an old term), and as
        `Rendezvous.answer`."""
        store = self._stores.get(request.run)
        if store is None:
            raise UnknownNameError("this device does not lead {run}", "cellmindctl runs", run=f"{request.run!r:.60}")
        if request.term != store.term:
            raise _is_over(store.run, request.term)
        return await store.answer(request)


def _is_over(run: RunId, term: int) -> NotAllowedError:
    return NotAllowedError("term {term} of {run} is over", term=term, run=run)


def store_request(run: RunId, term: int, call: StoreCall) -> m.StoreRequest:
    """A trainer's call as the request that the leader's agent answers."""
    match call:
        case line.StoreSet():
            return m.StoreSet(run=run, term=term, key=call.key, data=call.data)
        case line.StoreGet():
            return m.StoreGet(run=run, term=term, keys=call.keys, seconds=call.seconds)
        case line.StoreAdd():
            return m.StoreAdd(run=run, term=term, key=call.key, amount=call.amount)
        case line.StoreCompareSet():
            return m.StoreCompareSet(run=run, term=term, key=call.key, expected=call.expected, desired=call.desired)
        case line.StoreCheck():
            return m.StoreCheck(run=run, term=term, keys=call.keys)
        case line.StoreDelete():
            return m.StoreDelete(run=run, term=term, key=call.key)


def store_answer(answer: m.StoreAnswer) -> line.StoreValue | line.StoreNumber | Done:
    """The leader's answer, for the trainer's line."""
    match answer:
        case m.StoreValue():
            return line.StoreValue(data=answer.data)
        case m.StoreNumber():
            return line.StoreNumber(number=answer.number)
        case m.Done():
            return Done()
