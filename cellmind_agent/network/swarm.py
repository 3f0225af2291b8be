"""Fetches one blob from all its holders at once. `planning/swarm` decides which chunk comes from whom."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from dataclasses import dataclass

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning.swarm import request_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, from_bitmap, num_chunks
from cellmind_agent.protocol.errors import BlobDamagedError, CellmindError, StorageFullError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import (
    CHUNK_SECONDS,
    CHUNKS_AHEAD,
    HOLDERS_REFRESH_SECONDS,
    HOLDERS_SECONDS,
    MAX_CHUNK_FAILURES,
)
from cellmind_agent.storage.partial_blob import PartialBlob

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """The chunks that a device has of a blob, and whether it is fetching the rest."""

    chunks: frozenset[int]
    is_fetching: bool


async def find_holdings(peers: Peers, ref: BlobRef) -> dict[DeviceId, Holding]:
    """What every online member has of the blob. A member that does not answer is left out."""

    async def find(device: DeviceId) -> Holding | None:
        try:
            answer = await peers.link(device).request(m.FindChunks(ref=ref), HOLDERS_SECONDS)
        except CellmindError:
            return None
        return Holding(chunks=from_bitmap(answer.chunks, num_chunks(ref)), is_fetching=answer.is_fetching)

    online = peers.online()
    found = await asyncio.gather(*(find(device) for device in online))
    return {device: holding for device, holding in zip(online, found, strict=True) if holding}


class Swarm:
    """Keeps CHUNKS_AHEAD requests under way with each holder until the blob is whole."""

    def __init__(self, partial: PartialBlob, peers: Peers, device: DeviceId) -> None:
        """`device` is this one."""
        self._partial, self._peers, self._device = partial, peers, device
        self._random = random.Random()
        self._queues: dict[DeviceId, list[int]] = {}  # chunks to request from each holder, the first one last
        self._has_new_queues = asyncio.Event()
        self._under_way: set[int] = set()
        self._fetching: dict[DeviceId, list[asyncio.Task[None]]] = {}
        self._failures: Counter[DeviceId] = Counter()  # in a row
        self._given_up: set[DeviceId] = set()
        self._problem: CellmindError | None = None

    async def run(self) -> None:
        """Raises UnknownNameError when no holder is left, StorageFullError, OSError."""
        try:
            while not self._partial.is_whole:
                await self._refresh_holders()
                busy = [task for tasks in self._fetching.values() for task in tasks if not task.done()]
                if not busy:
                    raise self._problem or UnknownNameError("every device with the blob went away", "cellmindctl peers")
                done, _ = await asyncio.wait(busy, timeout=HOLDERS_REFRESH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # raises what no other holder can help with, such as a failing disk
                if isinstance(self._problem, StorageFullError):
                    raise self._problem
        finally:
            tasks = [task for tasks in self._fetching.values() for task in tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh_holders(self) -> None:
        """Find out who has which chunks by now, and fetch from new holders too."""
        found = await find_holdings(self._peers, self._partial.ref)
        good = {device: held.chunks for device, held in found.items() if held.chunks and device not in self._given_up}
        fetching = sorted([self._device, *(device for device, held in found.items() if held.is_fetching)])
        position = (fetching.index(self._device), len(fetching))
        order = request_order(good, self._partial.present | self._under_way, position, self._random)
        self._queues = {device: chunks[::-1] for device, chunks in order.items()}
        self._has_new_queues.set()  # wakes everyone whose queue was empty
        self._has_new_queues = asyncio.Event()
        for device in good:
            tasks = self._fetching.setdefault(device, [])
            tasks[:] = [task for task in tasks if not task.done()]
            tasks += [asyncio.create_task(self._fetch_from(device)) for _ in range(CHUNKS_AHEAD - len(tasks))]

    async def _fetch_from(self, device: DeviceId) -> None:
        """One request after the other, until the blob is whole or the device fails."""
        ref = self._partial.ref
        while not self._partial.is_whole:
            index = self._next_chunk(device)
            if index is None:
                await self._has_new_queues.wait()
                continue
            chunk = self._partial.chunk(index)
            self._under_way.add(index)
            try:
                request = m.ReadBlob(ref=ref, offset=chunk.offset, length=chunk.length)
                answer = await self._peers.link(device).request(request, CHUNK_SECONDS)
                await asyncio.to_thread(self._partial.keep, index, answer.data)
                self._failures[device] = 0
            except CellmindError as error:  # the chunk is requested again after the next refresh
                self._problem = error
                self._failures[device] += 1
                if isinstance(error, BlobDamagedError) or self._failures[device] > MAX_CHUNK_FAILURES:
                    self._given_up.add(device)
                _log.warning("cannot fetch a chunk from %s: %s", self._peers.name(device), error)
                return
            finally:
                self._under_way.discard(index)

    def _next_chunk(self, device: DeviceId) -> int | None:
        queue = self._queues.get(device, [])
        while queue:
            index = queue.pop()
            if index not in self._partial.present and index not in self._under_way:
                return index
        return None
