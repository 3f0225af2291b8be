"""Removes blobs that nothing refers to any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cellmind_agent.protocol.limits import GARBAGE_RETRY_SECONDS, GARBAGE_SECONDS
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.journal import Journal


async def collect_garbage(store: BlobStore, journal: Journal, is_in_run: Callable[[], bool]) -> None:
    """Collect now and every GARBAGE_SECONDS, until cancelled, but never during a run."""
    while True:
        if is_in_run():
            await asyncio.sleep(GARBAGE_RETRY_SECONDS)
            continue
        referenced = journal.wanted_blobs()
        await asyncio.to_thread(store.collect_garbage, referenced, time.time() - GARBAGE_SECONDS)
        await asyncio.sleep(GARBAGE_SECONDS)
