"""Blobs between devices: answered from the store, fetched from every holder at once, resumed after a cut, verified.

Whoever fetches a blob passes on the chunks that it has already. The hashes of the chunks come from one holder and are
believed until the whole is checked against the blob's name.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.planning.swarm import wanted_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, bitmap, from_bitmap, num_chunks
from cellmind_agent.protocol.errors import BlobDamagedError, CellmindError, StorageFullError, UnknownNameError
from cellmind_agent.protocol.ids import BlobId, DeviceId, short
from cellmind_agent.protocol.limits import CHUNK_BYTES, CHUNK_SECONDS, CHUNKS_AHEAD, HOLDERS_SECONDS
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.gathering import Gathering, chunk_hashes
from cellmind_agent.trust.permissions import Caller

_FAILURES = 2 * CHUNKS_AHEAD  # in a row: then a holder is asked no more
_LOOK_SECONDS = 0.25  # how often the holders are asked anew what they have
_IDLE_SECONDS = 0.05  # nothing to ask of this holder now: how soon to look again
_log = logging.getLogger(__name__)


class Transfer:
    """Moves blobs between this device's store and the others'."""

    def __init__(self, device: DeviceId, store: BlobStore, peers: Peers) -> None:
        self._device, self._store, self._peers = device, store, peers
        self._fetching: dict[BlobId, asyncio.Lock] = {}
        self._gathering: dict[BlobId, Gathering] = {}

    def handlers(self) -> dict[type, Handler]:
        return {
            m.FindBlobs: self._find,
            m.FindChunks: self._find_chunks,
            m.HashChunks: self._hash_chunks,
            m.ReadBlob: self._read,
            m.WriteBlob: self._write,
        }

    async def fetch(self, refs: Iterable[BlobRef], preferred: DeviceId | None = None) -> int:
        """Have all these blobs here. The bytes that came. Raises UnknownNameError when nobody online has one."""
        came = 0
        for ref in refs:
            lock = self._fetching.setdefault(ref.id, asyncio.Lock())
            try:
                async with lock:
                    if not self._store.has(ref):
                        came += await self._fetch_one(ref, preferred)
            finally:
                if not lock.locked():
                    self._fetching.pop(ref.id, None)
        return came

    async def _fetch_one(self, ref: BlobRef, preferred: DeviceId | None) -> int:
        if ref.size == 0:
            self._store.append(ref, 0, b"")
            return 0
        problem: CellmindError | None = None
        for teller in await self._whole_holders(ref, preferred):
            try:
                answer = await self._peers.link(teller).request(m.HashChunks(ref=ref), CHUNK_SECONDS)
                return await self._gather(ref, answer.hashes)
            except StorageFullError:
                raise
            except CellmindError as error:
                _log.warning("blob %s by the word of %s: %s", short(ref.id), self._peers.name(teller), error)
                problem = error
        raise problem or UnknownNameError(f"no device that is online has blob {short(ref.id)}", "cellmindctl peers")

    async def _gather(self, ref: BlobRef, hashes: bytes) -> int:
        gathering = await asyncio.to_thread(self._store.gather, ref, hashes)
        before = len(gathering.here)
        self._gathering[ref.id] = gathering
        try:
            if not gathering.is_whole:
                await _Swarm(gathering, self._peers, self._device).run()
            await asyncio.to_thread(self._store.finish, gathering)
        finally:
            del self._gathering[ref.id]
        return min(ref.size, (num_chunks(ref) - before) * CHUNK_BYTES)

    async def _whole_holders(self, ref: BlobRef, preferred: DeviceId | None) -> list[DeviceId]:
        found = await ask_around(self._peers, ref)
        whole = [device for device, answer in found.items() if len(answer.chunks) == num_chunks(ref)]
        return sorted(whole, key=lambda device: device != preferred)

    # -- what others ask -----------------------------------------------------------------------------------------------

    async def _find(self, request: m.FindBlobs, caller: Caller) -> m.BlobsFound:
        return m.BlobsFound(present=tuple(self._store.present(ref) for ref in request.refs))

    async def _find_chunks(self, request: m.FindChunks, caller: Caller) -> m.ChunksFound:
        ref = request.ref
        gathering = self._gathering.get(ref.id)
        if self._store.has(ref):
            return m.ChunksFound(chunks=bitmap(range(num_chunks(ref)), num_chunks(ref)))
        here = gathering.here if gathering else ()
        return m.ChunksFound(chunks=bitmap(here, num_chunks(ref)), is_fetching=ref.id in self._fetching)

    async def _hash_chunks(self, request: m.HashChunks, caller: Caller) -> m.ChunkHashes:
        path = self._store.path(request.ref)
        return m.ChunkHashes(hashes=await asyncio.to_thread(chunk_hashes, request.ref, path))

    async def _read(self, request: m.ReadBlob, caller: Caller) -> m.BlobData:
        gathering = self._gathering.get(request.ref.id)
        index = request.offset // CHUNK_BYTES
        if gathering and index in gathering.here and gathering.chunk(index).offset == request.offset:
            return m.BlobData(data=gathering.read(index)[: max(0, request.length)])
        return m.BlobData(data=self._store.read(request.ref, request.offset, request.length))

    async def _write(self, request: m.WriteBlob, caller: Caller) -> m.BlobsFound:
        place = await asyncio.to_thread(self._store.append, request.ref, request.offset, request.data)
        return m.BlobsFound(present=(place,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a device has of a blob, and whether it wants the rest too."""

    chunks: frozenset[int]
    is_fetching: bool


async def ask_around(peers: Peers, ref: BlobRef) -> dict[DeviceId, Holding]:
    """Asks everybody online; who does not answer is left out."""

    async def ask(device: DeviceId) -> Holding | None:
        try:
            answer = await peers.link(device).request(m.FindChunks(ref=ref), HOLDERS_SECONDS)
        except CellmindError:
            return None
        return Holding(chunks=from_bitmap(answer.chunks, num_chunks(ref)), is_fetching=answer.is_fetching)

    online = peers.online()
    found = await asyncio.gather(*(ask(device) for device in online))
    return {device: holding for device, holding in zip(online, found, strict=True) if holding}


class _Swarm:
    """One blob, drawn from all its holders at once: CHUNKS_AHEAD requests under way with each."""

    def __init__(self, gathering: Gathering, peers: Peers, device: DeviceId) -> None:
        self._gathering, self._peers, self._device = gathering, peers, device
        self._chance = random.Random()
        self._orders: dict[DeviceId, list[int]] = {}  # what to ask of each, last first
        self._under_way: set[int] = set()
        self._drawing: dict[DeviceId, list[asyncio.Task[None]]] = {}
        self._failures: Counter[DeviceId] = Counter()  # in a row
        self._bad: set[DeviceId] = set()
        self._problem: CellmindError | None = None

    async def run(self) -> None:
        """Raises UnknownNameError when nobody is left to ask, StorageFullError."""
        try:
            while not self._gathering.is_whole:
                await self._look_around()
                if not any(not task.done() for tasks in self._drawing.values() for task in tasks):
                    raise self._problem or UnknownNameError("every device with the blob went away", "cellmindctl peers")
                await self._wait_a_little()
                if isinstance(self._problem, StorageFullError):
                    raise self._problem
        finally:
            tasks = [task for tasks in self._drawing.values() for task in tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_around(self) -> None:
        """Who has what by now; new holders are drawn from, too."""
        found = await ask_around(self._peers, self._gathering.ref)
        good = {device: held.chunks for device, held in found.items() if held.chunks and device not in self._bad}
        fellows = sorted([self._device, *(device for device, held in found.items() if held.is_fetching)])
        place = (fellows.index(self._device), len(fellows))
        orders = wanted_order(good, self._gathering.here | self._under_way, place, self._chance)
        self._orders = {device: order[::-1] for device, order in orders.items()}
        for device in good:
            tasks = self._drawing.setdefault(device, [])
            tasks[:] = [task for task in tasks if not task.done()]
            tasks += [asyncio.create_task(self._draw(device)) for _ in range(CHUNKS_AHEAD - len(tasks))]

    async def _wait_a_little(self) -> None:
        tasks = [task for tasks in self._drawing.values() for task in tasks if not task.done()]
        await asyncio.wait(tasks, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)

    async def _draw(self, device: DeviceId) -> None:
        """One request after the other, until the blob is whole or the device fails."""
        ref = self._gathering.ref
        while not self._gathering.is_whole:
            index = self._next(device)
            if index is None:
                await asyncio.sleep(_IDLE_SECONDS)
                continue
            chunk = self._gathering.chunk(index)
            self._under_way.add(index)
            try:
                ask = m.ReadBlob(ref=ref, offset=chunk.offset, length=chunk.length)
                answer = await self._peers.link(device).request(ask, CHUNK_SECONDS)
                await asyncio.to_thread(self._gathering.keep, index, answer.data)
                self._failures[device] = 0
            except CellmindError as error:
                self._problem = error
                self._failures[device] += 1
                if isinstance(error, BlobDamagedError) or self._failures[device] > _FAILURES:
                    self._bad.add(device)
                _log.warning("a chunk from %s: %s", self._peers.name(device), error)
                return
            finally:
                self._under_way.discard(index)

    def _next(self, device: DeviceId) -> int | None:
        order = self._orders.get(device, [])
        while order:
            index = order.pop()
            if index not in self._gathering.here and index not in self._under_way:
                return index
        return None
