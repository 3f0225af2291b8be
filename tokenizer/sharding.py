"""From JSONL to token shards: in parts that several processes encode, each whole on disk before the next begins.

A part is some megabytes of documents, encoded and packed by itself; beside its shard lies a record of what it was made
from. So what was interrupted goes on where it stopped, and what was added later is all that is encoded.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tokenizer.bulk import BulkEncoder, dtype_of
from tokenizer.encoding import Encoder
from tokenizer.errors import TextError
from tokenizer.files import write_whole
from tokenizer.packing import pack
from tokenizer.parallel import workers
from tokenizer.shards import FORMAT, Manifest, Part, ShardFile, to_json
from tokenizer.texts import Sides, Stretch, texts_of

_PART_BYTES: Final = 16 << 20
_PADDED_BATCH: Final = 32  # documents, for the comparison

Tell = Callable[[int, int], None]  # bytes of text that are done, and all


@dataclass(frozen=True, slots=True)
class _Unit:
    """A stretch of a JSONL file that becomes one shard, `name`.bin."""

    name: str
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class _Orders:
    tokenizer: bytes
    seq_len: int
    folder: Path


def write_shards(
    sides: Sides, tokenizer: bytes, seq_len: int, folder: Path, tell: Tell = lambda done, total: None
) -> Manifest:
    """Encode and pack both sides, or what of them is not there yet. Raises TextError."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder = Encoder(tokenizer)
    units = {"train": list(_units("train", sides.train)), "held-out": list(_units("held-out", sides.held_out))}
    everything = [unit for side in units.values() for unit in side]
    total, done = sum(unit.stretch.size for unit in everything), 0
    found: dict[str, ShardFile] = {}
    with workers(total > _PART_BYTES) as pool:
        orders = _Orders(tokenizer, seq_len, folder)
        for unit, file in zip(everything, pool.map(functools.partial(_make, orders=orders), everything), strict=True):
            found[unit.name] = file
            done += unit.stretch.size
            tell(done, total)
    parts = {
        name: Part(tuple(found[unit.name] for unit in side if found[unit.name].rows)) for name, side in units.items()
    }
    if not parts["train"].documents or not parts["held-out"].documents:
        raise TextError("the text is too little to train on and to hold some out", "give more text")
    manifest = Manifest(
        format=FORMAT,
        dtype=dtype_of(encoder.vocab_size).str,
        seq_len=seq_len,
        vocab_size=encoder.vocab_size,
        start_id=encoder.start_id,
        end_id=encoder.end_id,
        pad_id=encoder.pad_id,
        tokenizer=encoder.digest,
        train=parts["train"],
        held_out=parts["held-out"],
    )
    write_whole(folder / "manifest.json", to_json(manifest))
    return manifest


def _units(side: str, stretches: Sequence[Stretch]) -> Iterator[_Unit]:
    """Raises TextError when a file cannot be read."""
    for stretch in stretches:
        try:
            with open(stretch.path, "rb") as file:
                start, number = stretch.start, 0
                while start < stretch.stop:
                    file.seek(min(start + _PART_BYTES, stretch.stop) - 1)
                    file.readline()
                    stop = min(file.tell(), stretch.stop)
                    part = Stretch(stretch.path, start, stop, stretch.name)
                    yield _Unit(f"{side}-{stretch.name}-{number:04}", part)
                    start, number = stop, number + 1
        except OSError as error:
            raise TextError(f"{stretch.path} cannot be read: {error.strerror}", "cellmindctl data prepare") from error


def _make(unit: _Unit, orders: _Orders) -> ShardFile:
    """The shard of one part: the one that is there, if it was made from the same. Raises TextError."""
    data = unit.stretch.read()
    key = {
        "format": FORMAT,
        "seq_len": orders.seq_len,
        "tokenizer": hashlib.sha256(orders.tokenizer).hexdigest(),
        "text": hashlib.sha256(data).hexdigest(),
    }
    record = orders.folder / f"{unit.name}.json"
    known = _known(record, key)
    if known:
        return known
    file, packed = _encode(unit, data, orders)
    write_whole(orders.folder / file.name, packed)
    write_whole(record, json.dumps({"key": key, "file": asdict(file)}).encode())
    return file


def _encode(unit: _Unit, data: bytes, orders: _Orders) -> tuple[ShardFile, bytes]:
    bulk, width = _bulk(orders.tokenizer), orders.seq_len + 1
    size = bulk.dtype.itemsize
    lengths: list[int] = []
    utf8_bytes = 0

    def documents() -> Iterator[bytes]:
        nonlocal utf8_bytes
        for text in texts_of(io.BytesIO(data), unit.stretch.path, unit.stretch.start):
            document = bulk.encode(text)
            lengths.append(len(document) // size)
            utf8_bytes += len(text.encode())
            yield document

    rows = list(pack(documents(), width, size))
    padding = sum(width - len(row) // size for row in rows)
    packed = b"".join([row + bulk.pad * (width - len(row) // size) for row in rows])
    file = ShardFile(
        name=f"{unit.name}.bin",
        sha256=hashlib.sha256(packed).hexdigest(),
        size=len(packed),
        rows=len(rows),
        documents=len(lengths),
        tokens=sum(lengths) - len(lengths),
        utf8_bytes=utf8_bytes,
        padding=padding,
        padding_if_padded=_padding_if_padded(lengths, width),
    )
    return file, packed


def _known(record: Path, key: dict[str, Any]) -> ShardFile | None:
    try:
        plain = json.loads(record.read_bytes())
        file = ShardFile(**plain["file"])
        is_there = not file.rows or (record.parent / file.name).stat().st_size == file.size
        return file if plain["key"] == key and is_there else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@functools.lru_cache(maxsize=1)
def _bulk(tokenizer: bytes) -> BulkEncoder:
    """Made once in each process: the words that it remembers are what makes it fast."""
    return BulkEncoder(Encoder(tokenizer))


def _padding_if_padded(lengths: Sequence[int], width: int) -> int:
    """Documents, or the parts that they must be cut into, as they come: batches padded to their longest."""
    cut = [min(width, length - start) for length in lengths for start in range(0, max(1, length - 1), width - 1)]
    batches = np.array_split(np.array(cut), range(_PADDED_BATCH, len(cut), _PADDED_BATCH))
    return sum(int(batch.max()) * len(batch) - int(batch.sum()) for batch in batches if len(batch))
