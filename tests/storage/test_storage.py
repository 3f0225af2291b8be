"""Disk: whole or not at all, verified, within bounds (I8)."""

import errno
import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.protocol.blobs import BlobRef, chunks
from cellmind_agent.protocol.errors import (
    BlobDamagedError,
    HomeLockedError,
    ProtocolError,
    StorageFullError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import BlobId
from cellmind_agent.storage import blobs as blobs_module
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.files import HomeLock, translated_disk_errors, write_file


def ref_of(data: bytes) -> BlobRef:
    return BlobRef(id=BlobId(hashlib.sha256(data).hexdigest()), size=len(data))


def make_store(folder: Path, **limits: int) -> BlobStore:
    store = BlobStore(root=folder / "blobs", floor_bytes=limits.get("floor", 0), quota_bytes=limits.get("quota"))
    store.prepare()
    return store


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 999))
def test_chunks_cover_a_blob_exactly(size: int, start: int, chunk: int) -> None:
    found = list(chunks(size, start, chunk))
    assert sum(c.length for c in found) == max(0, size - start)
    assert all(a.offset + a.length == b.offset for a, b in pairwise(found))


@settings(max_examples=40, deadline=None)
@given(data=st.binary(min_size=1, max_size=3000), cuts=st.lists(st.integers(1, 500), min_size=1, max_size=8))
def test_a_blob_arrives_in_any_pieces_and_reads_back(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cuts: list[int]
) -> None:
    store = make_store(tmp_path_factory.mktemp("home"))
    ref, place = ref_of(data), 0
    while place < len(data):
        step = cuts[place % len(cuts)]
        place = store.append(ref, place, data[place : place + step])
    assert store.has(ref)
    assert store.read(ref, 0, len(data)) == data
    assert store.append(ref, 0, data) == len(data)


def test_a_blob_is_resumed_after_a_restart_and_overlap_is_not_doubled(tmp_path: Path) -> None:
    data = os.urandom(1000)
    ref = ref_of(data)
    make_store(tmp_path).append(ref, 0, data[:600])
    store = make_store(tmp_path)
    assert store.present(ref) == 600
    assert not store.has(ref)
    assert store.append(ref, 500, data[500:]) == 1000
    assert store.read(ref, 0, 1000) == data


def test_bytes_that_do_not_match_the_name_are_deleted(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    ref = ref_of(b"right")
    with pytest.raises(BlobDamagedError):
        store.append(ref, 0, b"wrong")
    assert store.present(ref) == 0
    assert store.append(ref, 0, b"right") == 5


@pytest.mark.parametrize(("offset", "data"), [(1, b"x"), (0, b"123456"), (5, b"x")])
def test_gaps_and_overruns_are_refused(tmp_path: Path, offset: int, data: bytes) -> None:
    store = make_store(tmp_path)
    with pytest.raises(ProtocolError):
        store.append(ref_of(b"12345"), offset, data)
    with pytest.raises(UnknownNameError):
        store.read(ref_of(b"12345"), 0, 5)


def test_reading_outside_a_blob_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    ref = ref_of(b"12345")
    store.append(ref, 0, b"12345")
    for offset, length in ((-1, 1), (6, 1), (0, -1), (0, 1 << 30)):
        with pytest.raises(ProtocolError):
            store.read(ref, offset, length)


def test_the_quota_and_the_floor_hold_before_the_disk_is_full(tmp_path: Path) -> None:
    store = make_store(tmp_path, quota=1000)
    store.append(ref_of(b"a" * 800), 0, b"a" * 800)
    with pytest.raises(StorageFullError):
        store.append(ref_of(b"b" * 300), 0, b"b" * 300)
    assert store.has(ref_of(b"a" * 800))
    with pytest.raises(StorageFullError):
        make_store(tmp_path / "other", floor=1 << 60).append(ref_of(b"c"), 0, b"c")


def test_a_disk_that_fills_up_during_a_write_leaves_a_beginning_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(1000)
    store = make_store(tmp_path)
    store.append(ref_of(data), 0, data[:400])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blobs_module.os, "fsync", full)
    with pytest.raises(StorageFullError):
        store.append(ref_of(data), 400, data[400:])
    monkeypatch.undo()
    assert not store.has(ref_of(data))
    assert store.present(ref_of(data)) == 999
    store.append(ref_of(data), 999, data[999:])
    assert store.read(ref_of(data), 0, 1000) == data


def test_a_file_of_this_home_becomes_a_blob_without_a_second_copy(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"weights")
    ref = store.adopt(path)
    assert ref == ref_of(b"weights")
    assert store.path(ref).stat().st_ino == path.stat().st_ino
    assert store.adopt(path) == ref


def test_garbage_collection_keeps_referenced_and_new_blobs(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    for data in (b"referenced", b"garbage"):
        store.append(ref_of(data), 0, data)
    store.append(ref_of(b"half"), 0, b"ha")
    assert store.collect_garbage({ref_of(b"referenced").id}, changed_before=0.0) == 0
    assert store.collect_garbage({ref_of(b"referenced").id}, changed_before=4e9) == len(b"garbage") + 2
    assert store.has(ref_of(b"referenced"))
    assert not store.has(ref_of(b"garbage"))
    assert store.present(ref_of(b"half")) == 0


def test_a_small_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StorageFullError):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_other_disk_errors_are_not_called_a_full_disk() -> None:
    with pytest.raises(PermissionError), translated_disk_errors():
        raise PermissionError(errno.EACCES, "no")


def test_a_home_has_one_agent(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    with pytest.raises(HomeLockedError):
        HomeLock(tmp_path)
    lock.release()
    HomeLock(tmp_path).release()
