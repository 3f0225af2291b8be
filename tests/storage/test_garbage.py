"""Garbage collection: at the start and then regularly, but never during a run."""

import asyncio
from collections.abc import Iterable

import pytest

from cellmind_agent.protocol.ids import BlobId
from cellmind_agent.storage import garbage
from cellmind_agent.storage.garbage import collect_garbage


class Journal:
    """References one blob."""

    def wanted_blobs(self) -> set[BlobId]:
        return {BlobId("ab" * 32)}


class Store:
    """Notes each collection."""

    def __init__(self) -> None:
        self.loop, self.collections = asyncio.get_running_loop(), asyncio.Queue[set[BlobId]]()

    def collect_garbage(self, referenced: Iterable[BlobId], changed_before: float) -> int:
        self.loop.call_soon_threadsafe(self.collections.put_nowait, set(referenced))
        return 0


def test_garbage_is_collected_regularly_but_never_during_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "GARBAGE_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(garbage, "GARBAGE_SECONDS", 0.05)
    is_in_run = True

    async def play() -> None:
        nonlocal is_in_run
        store = Store()
        collecting = asyncio.create_task(
            collect_garbage(store, Journal(), lambda: is_in_run)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.2)
        assert store.collections.empty()
        is_in_run = False
        async with asyncio.timeout(5):
            assert [await store.collections.get() for _ in range(2)] == [{"ab" * 32}] * 2
        collecting.cancel()
        await asyncio.wait({collecting})

    asyncio.run(play())
