"""Blobs on the wire: what a reference is, and which chunks make it up. Knows arithmetic, no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cellmind_agent.protocol.ids import BlobId, parse_blob_id
from cellmind_agent.protocol.limits import CHUNK_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRef:
    """Immutable bytes, named by their SHA-256 (hexadecimal) and their length in bytes."""

    id: BlobId
    size: int

    def __post_init__(self) -> None:
        try:
            parse_blob_id(self.id)
        except Exception as error:
            raise ValueError(str(error)) from error
        if self.size < 0:
            raise ValueError(f"a blob of {self.size} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """`length` bytes of a blob, from `offset`."""

    offset: int
    length: int


def chunks(size: int, start: int = 0, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """The chunks of a blob of `size` bytes that are still to come when its first `start` bytes are there."""
    for offset in range(start, size, chunk_bytes):
        yield Chunk(offset=offset, length=min(chunk_bytes, size - offset))
