"""A blob that comes in chunks, in any order and from several devices. Each chunk is checked before it is kept.

    blobs/partial/<sha256>.chunks      of the blob's full size; what has not come yet is a hole

What is there after a restart is found by hashing: no list on disk can disagree with the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cellmind_agent.protocol.blobs import BlobRef, Chunk, chunks
from cellmind_agent.protocol.errors import BlobDamagedError
from cellmind_agent.protocol.ids import short
from cellmind_agent.storage.files import translated_disk_errors

HASH_BYTES = 32


class Gathering:
    """One blob on its way in. Its methods read and write files: call them in a thread."""

    def __init__(self, ref: BlobRef, hashes: bytes, file: Path, begun: Sequence[Path]) -> None:
        """`hashes` are the SHA-256 of all chunks, one after the other; `begun` are files with a part of the blob at its
        place. Raises BlobDamagedError (hashes of another blob), StorageFullError."""
        self.ref, self.hashes, self.file = ref, hashes, file
        self._chunks = list(chunks(ref.size))
        if len(hashes) != len(self._chunks) * HASH_BYTES:
            raise BlobDamagedError(f"{len(hashes)} bytes of hashes for the {len(self._chunks)} chunks of a blob")
        self.here: set[int] = set()
        with translated_disk_errors():
            with open(file, "ab"):
                pass
            os.truncate(file, ref.size)
        for source in (file, *begun):
            self._find_there(source)

    @property
    def is_whole(self) -> bool:
        return len(self.here) == len(self._chunks)

    def chunk(self, index: int) -> Chunk:
        return self._chunks[index]

    def keep(self, index: int, data: bytes) -> None:
        """Raises BlobDamagedError when these are not the chunk's bytes, StorageFullError."""
        if not self._is_right(index, data):
            raise BlobDamagedError(f"chunk {index} of blob {short(self.ref.id)} is something else")
        with translated_disk_errors(), open(self.file, "r+b") as file:
            file.seek(self._chunks[index].offset)
            file.write(data)
        self.here.add(index)

    def read(self, index: int) -> bytes:
        with open(self.file, "rb") as file:
            file.seek(self._chunks[index].offset)
            return file.read(self._chunks[index].length)

    def _find_there(self, source: Path) -> None:
        if not source.exists():
            return
        with open(source, "rb") as file:
            for index, chunk in enumerate(self._chunks):
                if index in self.here:
                    continue
                file.seek(chunk.offset)
                data = file.read(chunk.length)
                if not self._is_right(index, data):
                    continue
                if source == self.file:
                    self.here.add(index)
                else:
                    self.keep(index, data)

    def _is_right(self, index: int, data: bytes) -> bool:
        start = index * HASH_BYTES
        return hashlib.sha256(data).digest() == self.hashes[start : start + HASH_BYTES]


def chunk_hashes(ref: BlobRef, file: Path) -> bytes:
    """Of a whole blob, as `Gathering` wants them."""
    with open(file, "rb") as source:
        return b"".join(hashlib.sha256(source.read(chunk.length)).digest() for chunk in chunks(ref.size))
