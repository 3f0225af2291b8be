"""Writes token shards from JSON lines, part by part, in several processes.

A part is some megabytes of documents, which become one shard. A record beside the shard says what it was made from. So
an interrupted run continues where it stopped, and a later run encodes only what is new.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from tokenizer.byte_ranges import ByteRange, unreadable
from tokenizer.corpus.prepared.jsonl import parse_documents
from tokenizer.corpus.prepared.split import Split
from tokenizer.errors import TextError
from tokenizer.files import write_whole
from tokenizer.sharding.manifest import FORMAT, MANIFEST, Manifest, ShardFile, ShardSet, to_json
from tokenizer.sharding.packing import pack
from tokenizer.vocabulary.bulk import BulkEncoder, dtype_of
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.workers import open_workers

_PART_BYTES: Final = 16 << 20
_PADDED_BATCH: Final = 32  # documents per batch, in the comparison with padding

ReportProgress = Callable[[int, int], None]  # bytes of text that are encoded, and bytes in total


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of a JSONL file that becomes the shard `name`.bin."""

    name: str
    range: ByteRange


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What all parts have in common. `tokenizer` is the contents of the model file."""

    tokenizer: bytes
    seq_len: int
    folder: Path


def write_shards(
    split: Split,
    tokenizer: bytes,
    seq_len: int,
    folder: Path,
    report_progress: ReportProgress = lambda done, total: None,
) -> Manifest:
    """Encode and pack the documents into `folder`, reusing the shards that are there, and return the manifest.

    `tokenizer` is the contents of a model file. Raises TextError, and OSError if the disk fails.
    """
    encoder = Encoder(tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = list(_parts("train", split.train)), list(_parts("held-out", split.held_out))
    parts = [*train, *held_out]
    done, total = 0, sum(part.range.size for part in parts)
    shards: dict[str, ShardFile] = {}
    with open_workers(total > _PART_BYTES) as workers:
        parameters = _Parameters(tokenizer, seq_len, folder)
        results = workers.map(functools.partial(_make_shard, parameters=parameters), parts)
        for part, shard in zip(parts, results, strict=True):
            shards[part.name] = shard
            done += part.range.size
            report_progress(done, total)
    train_set, held_out_set = (
        ShardSet(tuple(shards[part.name] for part in some if shards[part.name].rows)) for some in (train, held_out)
    )
    if not train_set.documents or not held_out_set.documents:
        raise TextError("the text is too short to train on and to hold some of it out", "give more text")
    manifest = Manifest(
        format=FORMAT,
        dtype=dtype_of(encoder.vocab_size).str,
        seq_len=seq_len,
        vocab_size=encoder.vocab_size,
        start_id=encoder.start_id,
        end_id=encoder.end_id,
        pad_id=encoder.pad_id,
        tokenizer=encoder.digest,
        train=train_set,
        held_out=held_out_set,
    )
    write_whole(folder / MANIFEST, to_json(manifest))
    return manifest


def _parts(prefix: str, ranges: Mapping[str, ByteRange]) -> Iterator[_Part]:
    """Cut the ranges into parts of whole lines. Raises TextError if a file cannot be read."""
    for name, whole in ranges.items():
        try:
            with open(whole.path, "rb") as file:
                start, number = whole.start, 0
                while start < whole.stop:
                    # Read on from the last byte: if a line ends there, the part ends there, too.
                    file.seek(min(start + _PART_BYTES, whole.stop) - 1)
                    file.readline()
                    stop = min(file.tell(), whole.stop)
                    yield _Part(f"{prefix}-{name}-{number:04}", ByteRange(whole.path, start, stop))
                    start, number = stop, number + 1
        except OSError as error:
            raise unreadable(whole.path, error) from error


def _make_shard(part: _Part, parameters: _Parameters) -> ShardFile:
    """Make the shard of a part, unless there is one of the same text. Runs in a worker process. Raises TextError."""
    data = part.range.read()
    key = {
        "format": FORMAT,
        "seq_len": parameters.seq_len,
        "tokenizer": hashlib.sha256(parameters.tokenizer).hexdigest(),
        "text": hashlib.sha256(data).hexdigest(),
    }
    record = parameters.folder / f"{part.name}.json"
    existing = _existing_shard(record, key)
    if existing:
        return existing
    shard, packed = _encode(part, data, parameters)
    # The record last: it says that the shard is complete.
    write_whole(parameters.folder / shard.name, packed)
    write_whole(record, json.dumps({"key": key, "file": asdict(shard)}).encode())
    return shard


def _encode(part: _Part, data: bytes, parameters: _Parameters) -> tuple[ShardFile, bytes]:
    """The shard of a part, and its contents."""
    encoder, width = _bulk_encoder(parameters.tokenizer), parameters.seq_len + 1
    size = encoder.dtype.itemsize
    lengths: list[int] = []
    utf8_bytes = 0

    def documents() -> Iterator[bytes]:
        nonlocal utf8_bytes
        for text in parse_documents(io.BytesIO(data), part.range.path, part.range.start):
            document = encoder.encode(text)
            lengths.append(len(document) // size)
            utf8_bytes += len(text.encode())
            yield document

    rows = list(pack(documents(), width, size))
    padding = sum(width - len(row) // size for row in rows)
    packed = b"".join([row + encoder.pad * (width - len(row) // size) for row in rows])
    shard = ShardFile(
        name=f"{part.name}.bin",
        sha256=hashlib.sha256(packed).hexdigest(),
        size=len(packed),
        rows=len(rows),
        documents=len(lengths),
        tokens=sum(lengths) - len(lengths),  # the first token of a document is never predicted
        utf8_bytes=utf8_bytes,
        padding=padding,
        padding_if_padded=_padding_if_padded(lengths, width),
    )
    return shard, packed


def _existing_shard(record: Path, key: Mapping[str, object]) -> ShardFile | None:
    """The shard that the record describes, if it was made with the same key and is complete."""
    try:
        plain = json.loads(record.read_bytes())
        shard = ShardFile(**plain["file"])
        is_complete = not shard.rows or (record.parent / shard.name).stat().st_size == shard.size
        return shard if plain["key"] == key and is_complete else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@functools.lru_cache(maxsize=1)
def _bulk_encoder(tokenizer: bytes) -> BulkEncoder:
    # Made once per process: it is fast because it remembers words.
    return BulkEncoder(Encoder(tokenizer))


def _padding_if_padded(lengths: Sequence[int], width: int) -> int:
    """The padding tokens if documents, split into rows, were padded to the longest of each batch instead of packed."""
    rows = [min(width, length - start) for length in lengths for start in range(0, max(1, length - 1), width - 1)]
    batches = np.array_split(np.array(rows), range(_PADDED_BATCH, len(rows), _PADDED_BATCH))
    return sum(int(batch.max()) * len(batch) - int(batch.sum()) for batch in batches if len(batch))
