"""A bundle as blobs: their references, and sending those that the leader of a run lacks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, chunks
from cellmind_agent.protocol.ids import BlobId, DeviceId, parse_run_id
from cellmind_agent.words import t
from cellmind_ctl.client import Client
from cellmind_ctl.project import Bundle
from cellmind_ctl.session import Session
from model.line.checkpoint import STATE_FILE, WEIGHTS_FILE

_PUSH_SECONDS = 60.0  # for one chunk
_MIN_REPORTED_BYTES = 1_000_000  # less is sent before a person would wonder


def refs(bundle: Bundle) -> dict[str, BlobRef]:
    """The references of the configuration, the tokenizer and the manifest, by these names."""
    small = {"config": bundle.config_bytes, "tokenizer": bundle.tokenizer, "manifest": bundle.manifest_bytes}
    return {name: _ref_of_bytes(data) for name, data in small.items()}


def shard_refs(bundle: Bundle) -> tuple[BlobRef, ...]:
    """The references of the token shards, in the order of the manifest."""
    files = (*bundle.manifest.train.files, *bundle.manifest.held_out.files)
    return tuple(BlobRef(id=BlobId(file.sha256), size=file.size) for file in files)


def start_view(bundle: Bundle, run: str) -> m.ModelView | None:
    """The model that the run continues, as a checkpoint at step 0 with weights and without an optimizer's state."""
    if bundle.start is None:
        return None
    return m.ModelView(
        model=parse_run_id(run),
        step=0,
        tokens=0,
        state_hash="",
        files={WEIGHTS_FILE: _ref_of_file(bundle.start.weights), STATE_FILE: _ref_of_file(bundle.start.state)},
        tokenizer=_ref_of_bytes(bundle.tokenizer),
        created=0.0,
    )


def push(bundle: Bundle, client: Client, leader: DeviceId, session: Session) -> int:
    """Send the blobs that the leader lacks, and return the number of bytes sent. Raises CellmindError, OSError."""
    sources: list[tuple[BlobRef, bytes | Path]] = [
        (_ref_of_bytes(data), data) for data in (bundle.config_bytes, bundle.tokenizer, bundle.manifest_bytes)
    ]
    sources += list(zip(shard_refs(bundle), bundle.shards, strict=True))
    if bundle.start:
        sources += [(_ref_of_file(path), path) for path in (bundle.start.weights, bundle.start.state)]
    question = m.FindBlobs(refs=tuple(ref for ref, _ in sources))
    present = client.request(question, device=leader).present
    missing = sum(ref.size - have for (ref, _), have in zip(sources, present, strict=True))
    if missing > _MIN_REPORTED_BYTES:
        session.notice(t("pushing {megabytes} MB", megabytes=f"{missing / 1e6:.1f}"))
    for (ref, source), have in zip(sources, present, strict=True):
        _push_blob(client, leader, ref, source, have)
    return missing


def _push_blob(client: Client, leader: DeviceId, ref: BlobRef, source: bytes | Path, have: int) -> None:
    """Send a blob from byte `have` on."""
    if have == ref.size and ref.size:
        return
    if ref.size == 0:
        client.request(m.WriteBlob(ref=ref, offset=0, data=b""), device=leader)
    for offset, data in _read_chunks(ref, source, have):
        client.request(m.WriteBlob(ref=ref, offset=offset, data=data), device=leader, seconds=_PUSH_SECONDS)


def _read_chunks(ref: BlobRef, source: bytes | Path, start: int) -> Iterator[tuple[int, bytes]]:
    if isinstance(source, bytes):
        for chunk in chunks(ref.size, start):
            yield chunk.offset, source[chunk.offset : chunk.offset + chunk.length]
        return
    with open(source, "rb") as file:
        file.seek(start)
        for chunk in chunks(ref.size, start):
            yield chunk.offset, file.read(chunk.length)


def _ref_of_bytes(data: bytes) -> BlobRef:
    return BlobRef(id=BlobId(hashlib.sha256(data).hexdigest()), size=len(data))


def _ref_of_file(path: Path) -> BlobRef:
    with open(path, "rb") as file:
        return BlobRef(id=BlobId(hashlib.file_digest(file, "sha256").hexdigest()), size=path.stat().st_size)
