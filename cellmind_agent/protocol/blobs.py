"""References to blobs, and the chunks that make up a blob. Arithmetic only; knows no files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cellmind_agent.protocol.errors import BadIdError
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
        except BadIdError as error:  # values must raise ValueError
            raise ValueError(str(error)) from error
        if self.size < 0:
            raise ValueError(f"a blob cannot have {self.size} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """`length` bytes of a blob, from `offset`."""

    offset: int
    length: int


def chunks(size: int, start: int = 0, chunk_bytes: int = CHUNK_BYTES) -> Iterator[Chunk]:
    """The chunks that are missing of a blob of `size` bytes whose first `start` bytes are present."""
    for offset in range(start, size, chunk_bytes):
        yield Chunk(offset=offset, length=min(chunk_bytes, size - offset))


def num_chunks(ref: BlobRef) -> int:
    """How many chunks a blob has."""
    return -(-ref.size // CHUNK_BYTES)


def bitmap(indices: Iterable[int], count: int) -> bytes:
    """A set of chunk numbers below `count` as bits, the lowest bit of the first byte first."""
    bits = bytearray(-(-count // 8))
    for index in indices:
        bits[index // 8] |= 1 << index % 8
    return bytes(bits)


def from_bitmap(bits: bytes, count: int) -> frozenset[int]:
    """The chunk numbers below `count` whose bit is set; missing bits count as not set, further ones are ignored."""
    return frozenset(index for index in range(min(count, 8 * len(bits))) if bits[index // 8] >> index % 8 & 1)
