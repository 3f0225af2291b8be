"""Blobs between devices: answered from the store, fetched from whoever has them, resumed after a cut, verified."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, chunks
from cellmind_agent.protocol.errors import CellmindError, StorageFullError, UnknownNameError
from cellmind_agent.protocol.ids import BlobId, DeviceId, short
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.trust.permissions import Caller

_AHEAD = 8  # chunks asked for before the first has come: 2 MiB, enough to fill a home network
_log = logging.getLogger(__name__)


class Transfer:
    """Moves blobs between this device's store and the others'."""

    def __init__(self, store: BlobStore, peers: Peers) -> None:
        self._store, self._peers = store, peers
        self._fetching: dict[BlobId, asyncio.Lock] = {}

    def handlers(self) -> dict[type, Handler]:
        return {m.FindBlobs: self._find, m.ReadBlob: self._read, m.WriteBlob: self._write}

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
        before = self._store.present(ref)
        problem: CellmindError | None = None
        for device in await self._holders(ref, preferred):
            try:
                await self._pull(ref, self._peers.link(device))
                return ref.size - before
            except StorageFullError:
                raise
            except CellmindError as error:
                _log.warning("blob %s from %s: %s", short(ref.id), self._peers.name(device), error)
                problem = error
        raise problem or UnknownNameError(f"no device that is online has blob {short(ref.id)}", "cellmindctl peers")

    async def _holders(self, ref: BlobRef, preferred: DeviceId | None) -> list[DeviceId]:
        online = self._peers.online()
        asks = [self._has_all(device, ref) for device in online]
        found = [device for device, has in zip(online, await asyncio.gather(*asks), strict=True) if has]
        return sorted(found, key=lambda device: device != preferred)

    async def _has_all(self, device: DeviceId, ref: BlobRef) -> bool:
        try:
            answer = await self._peers.link(device).request(m.FindBlobs(refs=(ref,)), m.BlobsFound)
        except CellmindError:
            return False
        return answer.present == (ref.size,)

    async def _pull(self, ref: BlobRef, link: Link) -> None:
        """Ask for chunks ahead, write them in order."""
        coming: deque[asyncio.Task[m.BlobData]] = deque()
        plan = chunks(ref.size, self._store.present(ref))
        place = self._store.present(ref)
        try:
            while True:
                while len(coming) < _AHEAD and (chunk := next(plan, None)):
                    ask = m.ReadBlob(ref=ref, offset=chunk.offset, length=chunk.length)
                    coming.append(asyncio.create_task(link.request(ask, m.BlobData, seconds=60.0)))
                if not coming:
                    return
                data = (await coming[0]).data
                coming.popleft()
                place = await asyncio.to_thread(self._store.append, ref, place, data)
        finally:
            for task in coming:
                task.cancel()
            await asyncio.gather(*coming, return_exceptions=True)

    async def _find(self, request: m.FindBlobs, caller: Caller) -> m.BlobsFound:
        return m.BlobsFound(present=tuple(self._store.present(ref) for ref in request.refs))

    async def _read(self, request: m.ReadBlob, caller: Caller) -> m.BlobData:
        return m.BlobData(data=self._store.read(request.ref, request.offset, request.length))

    async def _write(self, request: m.WriteBlob, caller: Caller) -> m.BlobsFound:
        place = await asyncio.to_thread(self._store.append, request.ref, request.offset, request.data)
        return m.BlobsFound(present=(place,))
