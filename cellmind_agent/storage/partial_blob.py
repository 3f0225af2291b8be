"""A blob that arrives in chunks, in any order and from several devices. Each chunk is checked before it is kept.

    blobs/partial/<sha256>.chunks      a file of the blob's full size; chunks that have not arrived are holes

After a restart, the present chunks are found by hashing: no list on disk can disagree with the file.
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

_DIGEST_SIZE = hashlib.sha256().digest_size


class PartialBlob:
    """The chunks of one blob so far. Its methods read and write files: call them in a thread."""

    def __init__(self, ref: BlobRef, hashes: bytes, file: Path, sources: Sequence[Path]) -> None:
        """`hashes` are the SHA-256 digests of all chunks, concatenated; `sources` are other files that may contain
        chunks at their offsets. Raises BlobDamagedError (hashes of another blob), StorageFullError."""
        self.ref, self.hashes, self.file = ref, hashes, file
        self._chunks = list(chunks(ref.size))
        if len(hashes) != len(self._chunks) * _DIGEST_SIZE:
            raise BlobDamagedError(
                "a blob of {chunks} chunks came with {num_hashes} bytes of hashes",
                chunks=len(self._chunks),
                num_hashes=len(hashes),
            )
        self.present: set[int] = set()
        with translated_disk_errors():
            with open(file, "ab"):
                pass
            # A sparse file: chunks can be written in any order.
            os.truncate(file, ref.size)
        for source in (file, *sources):
            self._find_chunks(source)

    @property
    def is_whole(self) -> bool:
        """True when every chunk is present."""
        return len(self.present) == len(self._chunks)

    def chunk(self, index: int) -> Chunk:
        """The byte range of a chunk."""
        return self._chunks[index]

    def keep(self, index: int, data: bytes) -> None:
        """Write a chunk. Raises BlobDamagedError when the bytes do not match its hash, StorageFullError."""
        if not self._matches(index, data):
            raise BlobDamagedError(
                "chunk {index} of blob {blob} does not match its hash", index=index, blob=short(self.ref.id)
            )
        with translated_disk_errors(), open(self.file, "r+b") as file:
            file.seek(self._chunks[index].offset)
            file.write(data)
        self.present.add(index)

    def read(self, index: int) -> bytes:
        """The bytes of a chunk that is present."""
        with open(self.file, "rb") as file:
            file.seek(self._chunks[index].offset)
            return file.read(self._chunks[index].length)

    def _find_chunks(self, source: Path) -> None:
        if not source.exists():
            return
        with open(source, "rb") as file:
            for index, chunk in enumerate(self._chunks):
                if index in self.present:
                    continue
                file.seek(chunk.offset)
                data = file.read(chunk.length)
                if not self._matches(index, data):
                    continue
                if source == self.file:
                    self.present.add(index)
                else:
                    self.keep(index, data)

    def _matches(self, index: int, data: bytes) -> bool:
        start = index * _DIGEST_SIZE
        return hashlib.sha256(data).digest() == self.hashes[start : start + _DIGEST_SIZE]


def chunk_hashes(ref: BlobRef, file: Path) -> bytes:
    """The SHA-256 digests of a whole blob's chunks, concatenated."""
    with open(file, "rb") as source:
        return b"".join(hashlib.sha256(source.read(chunk.length)).digest() for chunk in chunks(ref.size))
