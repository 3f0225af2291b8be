"""Blobs: what a device holds of them, and their bytes."""

from __future__ import annotations

from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.messages.declarations import Request, message, request

# -- pushing: the command line writes blobs to one device --------------------------------------------------------------


@message
class BlobsFound:
    """How many bytes of each blob are present, in the order of the request; `size` only when it is whole."""

    present: tuple[int, ...]


@request(asked_by="member", size="large")
class FindBlobs(Request[BlobsFound]):
    """Say how many bytes of each blob you have, counted from its start."""

    refs: tuple[BlobRef, ...]


@request(asked_by="member", size="large")
class WriteBlob(Request[BlobsFound]):
    """Append these bytes to a blob; `offset` is what you already have of it."""

    ref: BlobRef
    offset: int
    data: bytes


# -- fetching: devices read chunks from every holder at once -----------------------------------------------------------


@message
class ChunksFound:
    """A bitmap of the chunks that are present, the lowest bit first."""

    chunks: bytes
    is_fetching: bool = False  # more chunks are on their way to the answerer


@request(asked_by="member", size="small")
class FindChunks(Request[ChunksFound]):
    """Say which chunks of a blob you have, even if it is not whole yet."""

    ref: BlobRef


@message
class ChunkHashes:
    """The SHA-256 of each chunk, one after the other, 32 bytes each."""

    hashes: bytes


@request(asked_by="member", size="small")
class HashChunks(Request[ChunkHashes]):
    """Hash each chunk of a blob that you have whole."""

    ref: BlobRef


@message
class BlobData:
    data: bytes


@request(asked_by="member", size="small")
class ReadBlob(Request[BlobData]):
    """Send `length` bytes of a blob, at most one chunk."""

    ref: BlobRef
    offset: int
    length: int
