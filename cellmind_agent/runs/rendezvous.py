"""The process group's store: where trainers find each other. Served by the leader's agent, so nothing else listens."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from typing import Any

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import ProtocolError, StorageFullError, TimedOutError
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import MAX_STORE_BYTES


class Rendezvous:
    """The keys of one run and term. Semantics are those of `torch.distributed.Store`."""

    def __init__(self, run: RunId, term: int) -> None:
        self.run, self.term = run, term
        self._values: dict[str, bytes] = {}
        self._changed = asyncio.Condition()

    async def answer(self, message: Any) -> Any:
        """Raises TimedOutError, StorageFullError, ProtocolError."""
        match message:
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
        raise ProtocolError(f"{type(message).__name__} is not for the store")

    async def _put(self, key: str, data: bytes) -> None:
        held = sum(len(name) + len(value) for name, value in self._values.items())
        if held + len(key) + len(data) > MAX_STORE_BYTES:
            raise StorageFullError("the rendezvous store is full")
        async with self._changed:
            self._values[key] = data
            self._changed.notify_all()

    async def _wait(self, keys: Iterable[str], seconds: float) -> None:
        def all_there() -> bool:
            return all(key in self._values for key in keys)

        try:
            async with asyncio.timeout(min(seconds, 3600.0)), self._changed:
                await self._changed.wait_for(all_there)
        except TimeoutError as error:
            missing = sorted(key for key in keys if key not in self._values)
            raise TimedOutError(f"nobody set {', '.join(missing)[:200]} within {seconds:g} s") from error

    async def _add(self, key: str, amount: int) -> int:
        try:
            number = int(self._values.get(key, b"0")) + amount
        except ValueError as error:
            raise ProtocolError(f"{key!r:.60} is no number") from error
        await self._put(key, str(number).encode())
        return number

    async def _compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        present = self._values.get(key)
        if present == expected or (present is None and not expected):
            await self._put(key, desired)
            return desired
        return expected if present is None else present


def store_request(run: RunId, term: int, method: str, params: dict[str, Any]) -> Any:
    """A trainer's call in words (JSON, bytes in base64) as a message. Raises ProtocolError."""
    try:
        data = {name: base64.b64decode(params[name]) for name in ("data", "expected", "desired") if name in params}
        match method:
            case "store.set":
                return m.StoreSet(run=run, term=term, key=params["key"], data=data["data"])
            case "store.get":
                return m.StoreGet(run=run, term=term, keys=tuple(params["keys"]), seconds=float(params["seconds"]))
            case "store.add":
                return m.StoreAdd(run=run, term=term, key=params["key"], amount=int(params["amount"]))
            case "store.compare_set":
                return m.StoreCompareSet(
                    run=run, term=term, key=params["key"], expected=data["expected"], desired=data["desired"]
                )
            case "store.check":
                return m.StoreCheck(run=run, term=term, keys=tuple(params["keys"]))
            case "store.delete":
                return m.StoreDelete(run=run, term=term, key=params["key"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(f"a trainer's {method} makes no sense") from error
    raise ProtocolError(f"a trainer asked for {method!r:.60}")


def store_answer(message: Any) -> Any:
    """The answer, for a trainer's line."""
    match message:
        case m.StoreValue(data=data):
            return base64.b64encode(data).decode()
        case m.StoreNumber(number=number):
            return number
    return None
