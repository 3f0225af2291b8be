"""Moves blobs between devices: serves them from the store, and fetches them from every holder at once.

A device that fetches a blob already serves the chunks that it has. A fetch that was cut off continues where it was. The
hashes of the chunks come from one holder, and are only trusted after the whole blob has matched its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.swarm import Swarm, find_holdings
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, bitmap, num_chunks
from cellmind_agent.protocol.errors import CellmindError, StorageFullError, UnknownNameError
from cellmind_agent.protocol.ids import BlobId, DeviceId, short
from cellmind_agent.protocol.limits import CHUNK_BYTES, CHUNK_SECONDS
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.partial_blob import PartialBlob, chunk_hashes
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)


class Transfer:
    """Moves blobs between this device's store and those of the other members."""

    def __init__(self, device: DeviceId, store: BlobStore, peers: Peers) -> None:
        """`device` is this one."""
        self._device, self._store, self._peers = device, store, peers
        self._locks: dict[BlobId, asyncio.Lock] = {}  # of the blobs that are being fetched
        self._partial: dict[BlobId, PartialBlob] = {}

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {
            m.FindBlobs: self._find,
            m.FindChunks: self._find_chunks,
            m.HashChunks: self._hash_chunks,
            m.ReadBlob: self._read,
            m.WriteBlob: self._write,
        }

    async def fetch(self, refs: Iterable[BlobRef], preferred: DeviceId | None = None) -> int:
        """Fetch the blobs that are missing here; the number of bytes fetched.

        The hashes of chunks come from `preferred`, if it holds the blob. Raises UnknownNameError when no device that is
        online has a blob, StorageFullError, BlobDamagedError.
        """
        fetched_bytes = 0
        for ref in refs:
            lock = self._locks.setdefault(ref.id, asyncio.Lock())
            try:
                async with lock:
                    if not self._store.has(ref):
                        fetched_bytes += await self._fetch_one(ref, preferred)
            finally:
                if not lock.locked():
                    self._locks.pop(ref.id, None)
        return fetched_bytes

    async def _fetch_one(self, ref: BlobRef, preferred: DeviceId | None) -> int:
        if ref.size == 0:
            self._store.append(ref, 0, b"")
            return 0
        problem: CellmindError | None = None
        for holder in await self._holders_of_whole(ref, preferred):
            try:
                answer = await self._peers.link(holder).request(m.HashChunks(ref=ref), CHUNK_SECONDS)
                return await self._fetch_chunks(ref, answer.hashes)
            except StorageFullError:
                raise
            except CellmindError as error:
                _log.warning(
                    "cannot fetch blob %s by the hashes of %s: %s", short(ref.id), self._peers.name(holder), error
                )
                problem = error
        raise problem or UnknownNameError(
            "no device that is online has blob {blob}", "cellmindctl peers", blob=short(ref.id)
        )

    async def _fetch_chunks(self, ref: BlobRef, hashes: bytes) -> int:
        partial = await asyncio.to_thread(self._store.open_partial, ref, hashes)
        num_present_before = len(partial.present)
        self._partial[ref.id] = partial
        try:
            if not partial.is_whole:
                await Swarm(partial, self._peers, self._device).run()
            await asyncio.to_thread(self._store.finish, partial)
        finally:
            del self._partial[ref.id]
        return min(ref.size, (num_chunks(ref) - num_present_before) * CHUNK_BYTES)

    async def _holders_of_whole(self, ref: BlobRef, preferred: DeviceId | None) -> list[DeviceId]:
        found = await find_holdings(self._peers, ref)
        whole = [device for device, holding in found.items() if len(holding.chunks) == num_chunks(ref)]
        return sorted(whole, key=lambda device: device != preferred)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def _find(self, request: m.FindBlobs, caller: Caller) -> m.BlobsFound:
        return m.BlobsFound(present=tuple(self._store.present(ref) for ref in request.refs))

    async def _find_chunks(self, request: m.FindChunks, caller: Caller) -> m.ChunksFound:
        ref = request.ref
        if self._store.has(ref):
            return m.ChunksFound(chunks=bitmap(range(num_chunks(ref)), num_chunks(ref)))
        partial = self._partial.get(ref.id)
        # Without a chunk no bits are sent: the stated size of an absent blob may be anything, and takes no memory here.
        has_chunks = partial is not None and partial.ref == ref and partial.present
        chunks = bitmap(partial.present, num_chunks(ref)) if partial and has_chunks else b""
        return m.ChunksFound(chunks=chunks, is_fetching=ref.id in self._locks)

    async def _hash_chunks(self, request: m.HashChunks, caller: Caller) -> m.ChunkHashes:
        path = self._store.path(request.ref)
        return m.ChunkHashes(hashes=await asyncio.to_thread(chunk_hashes, request.ref, path))

    async def _read(self, request: m.ReadBlob, caller: Caller) -> m.BlobData:
        partial = self._partial.get(request.ref.id)
        index = request.offset // CHUNK_BYTES
        if partial and index in partial.present and partial.chunk(index).offset == request.offset:
            with contextlib.suppress(FileNotFoundError):  # it has just become whole
                return m.BlobData(data=partial.read(index)[: max(0, request.length)])
        return m.BlobData(data=self._store.read(request.ref, request.offset, request.length))

    async def _write(self, request: m.WriteBlob, caller: Caller) -> m.BlobsFound:
        num_bytes = await asyncio.to_thread(self._store.append, request.ref, request.offset, request.data)
        return m.BlobsFound(present=(num_bytes,))
