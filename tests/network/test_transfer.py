"""Blobs from several holders: the blob arrives whole even if one of them lies, leaves or joins late."""

import asyncio
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cellmind_agent.network.transfer import Transfer
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import CellmindError, LinkLostError, UnknownNameError, UnreachableError
from cellmind_agent.protocol.ids import BlobId, DeviceId
from cellmind_agent.protocol.limits import CHUNK_BYTES
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.trust.permissions import Caller

DATA = random.Random(2).randbytes(20 * CHUNK_BYTES + 7)
REF = BlobRef(id=BlobId(hashlib.sha256(DATA).hexdigest()), size=len(DATA))
CALLER = Caller(kind="member", curve_key=b"", device=None, host="")


class Cell:
    """Devices whose links are function calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transfers: dict[DeviceId, Transfer] = {}
        self.stores: dict[DeviceId, BlobStore] = {}
        self.num_reads: dict[DeviceId, int] = {}
        self.chunk_seconds = 0.001
        self.tamper: dict[DeviceId, Callable[[Any, Any], Any]] = {}

    def device(self, name: str, is_holder: bool = False) -> DeviceId:
        device = DeviceId(name * 32)
        store = self.stores[device] = BlobStore(root=self.folder / name, floor_bytes=0)
        store.prepare()
        if is_holder:
            path = self.folder / f"{name}.bin"
            path.write_bytes(DATA)
            store.adopt(path)
        self.transfers[device] = Transfer(device, store, View(self, device))  # type: ignore[arg-type]
        return device


class View:
    """Stands in for Peers and Link, as one device sees the others."""

    def __init__(self, cell: Cell, device: DeviceId, other: DeviceId | None = None) -> None:
        self.cell, self.device, self.other = cell, device, other

    def online(self) -> list[DeviceId]:
        return [device for device in self.cell.transfers if device != self.device]

    def name(self, device: DeviceId) -> str:
        return device[:1]

    def link(self, device: DeviceId) -> "View":
        return View(self.cell, self.device, device)

    async def request(self, message: Any, seconds: float = 1.0) -> Any:
        assert self.other
        await asyncio.sleep(self.cell.chunk_seconds if isinstance(message, m.ReadBlob) else 0.001)
        if isinstance(message, m.ReadBlob):
            self.cell.num_reads[self.other] = self.cell.num_reads.get(self.other, 0) + 1
        answer = await self.cell.transfers[self.other].handlers()[type(message)](message, CALLER)
        tamper = self.cell.tamper.get(self.other)
        return tamper(message, answer) if tamper else answer


def fetch(cell: Cell, *devices: DeviceId) -> list[int]:
    async def play() -> list[int]:
        async with asyncio.timeout(20):
            return list(await asyncio.gather(*(cell.transfers[device].fetch([REF]) for device in devices)))

    return asyncio.run(play())


def test_every_holder_sends_chunks(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    one, two, three = cell.device("1", True), cell.device("2", True), cell.device("3")
    assert fetch(cell, three) == [REF.size]
    assert cell.stores[three].path(REF).read_bytes() == DATA
    assert sum(cell.num_reads.values()) == 21
    assert min(cell.num_reads[one], cell.num_reads[two]) >= 5
    assert fetch(cell, three) == [0]


def test_devices_that_fetch_together_send_chunks_to_each_other(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    cell.chunk_seconds = 0.15  # the holders are asked again, after 0.25 s, before the source has sent everything
    source = cell.device("1", True)
    fetchers = [cell.device(name) for name in "2345"]
    fetch(cell, *fetchers)
    assert all(cell.stores[device].has(REF) for device in fetchers)
    assert cell.num_reads[source] < sum(cell.num_reads.values())


def test_a_holder_of_damaged_chunks_is_given_up(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    liar, honest, fetcher = cell.device("1", True), cell.device("2", True), cell.device("3")
    cell.tamper[liar] = lambda request, answer: (
        m.BlobData(data=bytes(request.length)) if isinstance(request, m.ReadBlob) else answer
    )
    fetch(cell, fetcher)
    assert cell.stores[fetcher].path(REF).read_bytes() == DATA
    assert cell.num_reads[liar] <= 8 < cell.num_reads[honest]


def test_wrong_hashes_are_detected_and_another_holder_is_used(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    liar, _, fetcher = cell.device("1", True), cell.device("2", True), cell.device("3")
    cell.tamper[liar] = lambda request, answer: (
        m.ChunkHashes(hashes=bytes(len(answer.hashes))) if isinstance(request, m.HashChunks) else answer
    )
    fetch(cell, fetcher)
    assert cell.stores[fetcher].has(REF)


def test_other_holders_replace_one_that_goes_away(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    leaving, _, fetcher = cell.device("1", True), cell.device("2", True), cell.device("3")

    def leave(request: Any, answer: Any) -> Any:
        if isinstance(request, m.ReadBlob) and cell.num_reads[leaving] > 3:
            del cell.transfers[leaving]
            cell.tamper.clear()
            raise LinkLostError("gone")
        return answer

    cell.tamper[leaving] = leave
    fetch(cell, fetcher)
    assert cell.stores[fetcher].has(REF)


def test_after_a_cut_only_missing_chunks_are_fetched(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    source, fetcher = cell.device("1", True), cell.device("2")

    def cut(request: Any, answer: Any) -> Any:
        if isinstance(request, m.ReadBlob) and cell.num_reads[source] > 10:
            raise UnreachableError("cut")
        return answer

    cell.tamper[source] = cut
    with pytest.raises(CellmindError):
        fetch(cell, fetcher)
    cell.tamper.clear()
    before = cell.num_reads[source]
    assert 0 < fetch(cell, fetcher)[0] < REF.size
    assert cell.num_reads[source] - before < 21


def test_a_blob_without_holders_is_an_error(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    cell.device("1")
    with pytest.raises(UnknownNameError, match="no device that is online"):
        fetch(cell, cell.device("2"))


def test_the_stated_size_of_a_blob_takes_no_memory(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    holder = cell.device("a", is_holder=True)
    huge = BlobRef(id=REF.id, size=2**62)
    answer = asyncio.run(cell.transfers[holder].handlers()[m.FindChunks](m.FindChunks(ref=huge), CALLER))
    assert answer == m.ChunksFound(chunks=b"")
