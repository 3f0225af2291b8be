"""Blobs from several holders: a liar, a loser and a late one among them do not keep the blob from coming whole."""

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
ASKER = Caller(kind="member", curve_key=b"", device=None, host="")


class Cell:
    """Devices whose links are function calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.transfers: dict[DeviceId, Transfer] = {}
        self.stores: dict[DeviceId, BlobStore] = {}
        self.asked: dict[DeviceId, int] = {}
        self.chunk_seconds = 0.001
        self.spoil: dict[DeviceId, Callable[[Any, Any], Any]] = {}

    def device(self, name: str, has_it: bool = False) -> DeviceId:
        device = DeviceId(name * 32)
        store = self.stores[device] = BlobStore(root=self.folder / name, floor_bytes=0)
        store.prepare()
        if has_it:
            path = self.folder / f"{name}.bin"
            path.write_bytes(DATA)
            store.adopt(path)
        self.transfers[device] = Transfer(device, store, View(self, device))  # type: ignore[arg-type]
        return device


class View:
    """Peers and links, as one device sees the others."""

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
            self.cell.asked[self.other] = self.cell.asked.get(self.other, 0) + 1
        said = await self.cell.transfers[self.other].handlers()[type(message)](message, ASKER)
        spoil = self.cell.spoil.get(self.other)
        return spoil(message, said) if spoil else said


def fetch(cell: Cell, *devices: DeviceId) -> list[int]:
    async def play() -> list[int]:
        async with asyncio.timeout(20):
            return list(await asyncio.gather(*(cell.transfers[device].fetch([REF]) for device in devices)))

    return asyncio.run(play())


def test_every_holder_is_drawn_from(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    one, two, three = cell.device("1", True), cell.device("2", True), cell.device("3")
    assert fetch(cell, three) == [REF.size]
    assert cell.stores[three].path(REF).read_bytes() == DATA
    assert sum(cell.asked.values()) == 21
    assert min(cell.asked[one], cell.asked[two]) >= 5
    assert fetch(cell, three) == [0]


def test_those_who_fetch_together_give_to_each_other(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    cell.chunk_seconds = 0.15  # so that holders are asked anew, every 0.25 s, before the source has given all
    source = cell.device("1", True)
    fetchers = [cell.device(name) for name in "2345"]
    fetch(cell, *fetchers)
    assert all(cell.stores[device].has(REF) for device in fetchers)
    assert cell.asked[source] < sum(cell.asked.values())


def test_a_holder_that_lies_is_asked_no_more(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    liar, honest, asker = cell.device("1", True), cell.device("2", True), cell.device("3")
    cell.spoil[liar] = lambda ask, said: m.BlobData(data=bytes(ask.length)) if isinstance(ask, m.ReadBlob) else said
    fetch(cell, asker)
    assert cell.stores[asker].path(REF).read_bytes() == DATA
    assert cell.asked[liar] <= 8 < cell.asked[honest]


def test_a_liar_about_hashes_is_found_out_and_another_believed(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    liar, _, asker = cell.device("1", True), cell.device("2", True), cell.device("3")
    cell.spoil[liar] = lambda ask, said: (
        m.ChunkHashes(hashes=bytes(len(said.hashes))) if isinstance(ask, m.HashChunks) else said
    )
    fetch(cell, asker)
    assert cell.stores[asker].has(REF)


def test_a_holder_that_goes_away_in_the_middle_is_made_up_for_and_nothing_comes_twice(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    leaving, _, asker = cell.device("1", True), cell.device("2", True), cell.device("3")

    def leave(ask: Any, said: Any) -> Any:
        if isinstance(ask, m.ReadBlob) and cell.asked[leaving] > 3:
            del cell.transfers[leaving]
            cell.spoil.clear()
            raise LinkLostError("gone")
        return said

    cell.spoil[leaving] = leave
    fetch(cell, asker)
    assert cell.stores[asker].has(REF)


def test_after_a_cut_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    source, asker = cell.device("1", True), cell.device("2")

    def cut(ask: Any, said: Any) -> Any:
        if isinstance(ask, m.ReadBlob) and cell.asked[source] > 10:
            raise UnreachableError("cut")
        return said

    cell.spoil[source] = cut
    with pytest.raises(CellmindError):
        fetch(cell, asker)
    cell.spoil.clear()
    before = cell.asked[source]
    assert 0 < fetch(cell, asker)[0] < REF.size
    assert cell.asked[source] - before < 21


def test_a_blob_that_nobody_has_is_an_error(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    cell.device("1")
    with pytest.raises(UnknownNameError, match="no device that is online"):
        fetch(cell, cell.device("2"))
