"""A blob in chunks: each is checked, the whole is checked, and chunks survive a crash (I8)."""

import hashlib
import random
from pathlib import Path

import pytest

from cellmind_agent.protocol.blobs import BlobRef, bitmap, from_bitmap, num_chunks
from cellmind_agent.protocol.errors import BlobDamagedError, StorageFullError
from cellmind_agent.protocol.ids import BlobId
from cellmind_agent.protocol.limits import CHUNK_BYTES
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.partial_blob import chunk_hashes

DATA = random.Random(1).randbytes(3 * CHUNK_BYTES + 1000)
REF = BlobRef(id=BlobId(hashlib.sha256(DATA).hexdigest()), size=len(DATA))
CHUNKS = [DATA[start : start + CHUNK_BYTES] for start in range(0, len(DATA), CHUNK_BYTES)]
HASHES = b"".join(hashlib.sha256(chunk).digest() for chunk in CHUNKS)


def make_store(folder: Path, **limits: int) -> BlobStore:
    store = BlobStore(root=folder / "blobs", **{"floor_bytes": 0, **limits})  # type: ignore[arg-type]
    store.prepare()
    return store


def test_chunks_in_any_order_make_the_blob(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    partial = store.open_partial(REF, HASHES)
    for index in (2, 0, 3, 1):
        assert not partial.is_whole
        assert not store.has(REF)
        partial.keep(index, CHUNKS[index])
        assert partial.read(index) == CHUNKS[index]
    store.finish(partial)
    assert store.path(REF).read_bytes() == DATA
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []
    assert chunk_hashes(REF, store.path(REF)) == HASHES


def test_a_wrong_chunk_is_refused_and_not_kept(tmp_path: Path) -> None:
    partial = make_store(tmp_path).open_partial(REF, HASHES)
    for data in (CHUNKS[1], CHUNKS[0][:-1], b""):
        with pytest.raises(BlobDamagedError):
            partial.keep(0, data)
    assert partial.present == set()


def test_hashes_of_another_blob_are_detected_at_the_end(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    others = [bytes(len(chunk)) for chunk in CHUNKS]
    partial = store.open_partial(REF, b"".join(hashlib.sha256(chunk).digest() for chunk in others))
    for index, chunk in enumerate(others):
        partial.keep(index, chunk)
    with pytest.raises(BlobDamagedError):
        store.finish(partial)
    assert not store.has(REF)
    assert store.open_partial(REF, HASHES).present == set()
    with pytest.raises(BlobDamagedError):
        store.open_partial(REF, HASHES[:-1])


def test_after_a_crash_whole_chunks_are_kept_and_torn_ones_are_not(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    partial = store.open_partial(REF, HASHES)
    for index in (1, 3):
        partial.keep(index, CHUNKS[index])
    with open(partial.file, "r+b") as file:
        file.seek(3 * CHUNK_BYTES)
        file.write(b"torn")
    assert make_store(tmp_path).open_partial(REF, HASHES).present == {1}


def test_pushed_bytes_count_as_chunks(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.append(REF, 0, DATA[: CHUNK_BYTES + 5])
    assert store.open_partial(REF, HASHES).present == {0}


def test_a_blob_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = make_store(tmp_path, quota_bytes=CHUNK_BYTES)
    with pytest.raises(StorageFullError):
        store.open_partial(REF, HASHES)
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []


def test_bitmaps_hold_sets_of_chunks() -> None:
    assert num_chunks(REF) == 4
    assert from_bitmap(bitmap({0, 3}, 4), 4) == {0, 3}
    assert from_bitmap(b"\xff\xff", 4) == {0, 1, 2, 3}
    assert from_bitmap(b"", 4) == set()
    assert bitmap(range(9), 9) == b"\xff\x01"
