"""Token shards: packed rows in flat little-endian files, and a manifest that says what they are.

    manifest.json           everything below, the tokenizer's SHA-256, counts
    train-0000.bin ...      rows of seq_len + 1 ids, uint16 (uint32 over 65,536 pieces), padded with <|pad|>
    held-out.bin            the last documents in time, never trained on

Files are memory-mapped, so data of many GiB needs no RAM.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.encoding import Encoder
from tokenizer.errors import TextError
from tokenizer.files import write_whole
from tokenizer.packing import pack

FORMAT = "cellmind-shards-1"
_SHARD_BYTES = 32 << 20
HELD_OUT_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    name: str
    sha256: str
    size: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One side of the split. `tokens` are those that get predicted; `utf8_bytes` is the text that they spell."""

    files: tuple[ShardFile, ...]
    rows: int
    documents: int
    tokens: int
    utf8_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`padding` is what packing left empty; `padding_if_padded` is what a padded batch of 32 would have wasted."""

    format: str
    dtype: str
    seq_len: int
    vocab_size: int
    start_id: int
    end_id: int
    pad_id: int
    tokenizer: str
    train: Part
    held_out: Part
    padding: int
    padding_if_padded: int


Texts = Callable[[], Iterable[str]]


def write_shards(
    texts: Texts, encoder: Encoder, seq_len: int, folder: Path, held_out_texts: Texts | None = None
) -> Manifest:
    """Encode and pack all texts. Where nothing was held out by `data prepare`, the last documents are (`texts` is then
    called more than once: to count, then to encode). Raises TextError."""
    folder.mkdir(parents=True, exist_ok=True)
    if held_out_texts is None:
        documents = sum(1 for _ in texts())
        if documents < 2:
            raise TextError(f"{documents} document is too little to train on", "give more text")
        last = documents - max(1, round(documents * HELD_OUT_SHARE))
        sides: tuple[Iterable[str], Iterable[str]] = _between(texts(), 0, last), _between(texts(), last, documents)
    else:
        sides = texts(), held_out_texts()
    dtype = "<u2" if encoder.vocab_size <= 1 << 16 else "<u4"
    waste = _PaddingCount(seq_len + 1)
    writer = _PartWriter(folder, encoder, seq_len, dtype)
    train = writer.write("train", sides[0], waste)
    rest = writer.write("held-out", sides[1], None)
    if not train.documents or not rest.documents:
        raise TextError("the text is too little to train on and to hold some out", "give more text")
    manifest = Manifest(
        format=FORMAT,
        dtype=dtype,
        seq_len=seq_len,
        vocab_size=encoder.vocab_size,
        start_id=encoder.start_id,
        end_id=encoder.end_id,
        pad_id=encoder.pad_id,
        tokenizer=encoder.digest,
        train=train,
        held_out=rest,
        padding=writer.padding,
        padding_if_padded=waste.total(),
    )
    write_whole(folder / "manifest.json", json.dumps(asdict(manifest), indent=1).encode())
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Raises TextError."""
    try:
        plain = json.loads(path.read_bytes())
        if plain["format"] != FORMAT:
            raise TextError(f"shards of format {plain['format']!r}", "prepare the data again with this version")
        sides = {side: _part(plain.pop(side)) for side in ("train", "held_out")}
        return Manifest(train=sides["train"], held_out=sides["held_out"], **plain)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TextError(f"{path} is no shard manifest", "prepare the data again") from error


class Rows:
    """The rows of several shard files as one array-like: `rows[i]` is (seq_len + 1) ids."""

    def __init__(self, paths: Iterable[Path], dtype: str, width: int) -> None:
        """Raises TextError when a file's size is no whole number of rows."""
        self._maps: list[npt.NDArray[Any]] = []
        for path in paths:
            flat = np.memmap(path, dtype=np.dtype(dtype), mode="r")
            if flat.size % width:
                raise TextError(f"{path} is cut short", "fetch the data again")
            self._maps.append(flat.reshape(-1, width))
        self._ends = np.cumsum([len(rows) for rows in self._maps])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> npt.NDArray[np.int64]:
        place = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[place - 1]) if place else 0
        row: npt.NDArray[np.int64] = self._maps[place][index - start].astype(np.int64)
        return row


class _PartWriter:
    def __init__(self, folder: Path, encoder: Encoder, seq_len: int, dtype: str) -> None:
        self._folder, self._encoder, self._width = folder, encoder, seq_len + 1
        self._dtype = np.dtype(dtype)
        self.padding = 0

    def write(self, name: str, texts: Iterable[str], waste: _PaddingCount | None) -> Part:
        counts = {"documents": 0, "tokens": 0, "utf8_bytes": 0}

        def encoded() -> Iterator[list[int]]:
            for text in texts:
                document = self._encoder.encode_document(text)
                counts["documents"] += 1
                counts["tokens"] += len(document) - 1
                counts["utf8_bytes"] += len(text.encode())
                if waste:
                    waste.add(len(document))
                yield document

        files = list(self._write_files(name, pack(encoded(), self._width)))
        return Part(files=tuple(files), rows=sum(file.rows for file in files), **counts)

    def _write_files(self, name: str, rows: Iterable[list[int]]) -> Iterator[ShardFile]:
        rows_a_file = max(1, _SHARD_BYTES // (self._width * self._dtype.itemsize))
        held: list[list[int]] = []
        number = 0
        for row in rows:
            held.append(row)
            if len(held) == rows_a_file:
                yield self._write_file(f"{name}-{number:04d}.bin", held)
                held, number = [], number + 1
        if held:
            yield self._write_file(f"{name}-{number:04d}.bin", held)

    def _write_file(self, name: str, rows: list[list[int]]) -> ShardFile:
        array = np.full((len(rows), self._width), self._encoder.pad_id, dtype=self._dtype)
        for place, row in enumerate(rows):
            array[place, : len(row)] = row
            self.padding += self._width - len(row)
        data = array.tobytes()
        write_whole(self._folder / name, data)
        return ShardFile(name=name, sha256=hashlib.sha256(data).hexdigest(), size=len(data), rows=len(rows))


class _PaddingCount:
    """What padding each document to the longest of its batch of 32 would have wasted."""

    _BATCH = 32

    def __init__(self, width: int) -> None:
        self._width = width
        self._batch: list[int] = []
        self._wasted = 0

    def add(self, length: int) -> None:
        self._batch.append(min(length, self._width))
        if len(self._batch) == self._BATCH:
            self._close()

    def total(self) -> int:
        self._close()
        return self._wasted

    def _close(self) -> None:
        if self._batch:
            self._wasted += max(self._batch) * len(self._batch) - sum(self._batch)
        self._batch = []


def _between(texts: Iterable[str], start: int, stop: int) -> Iterator[str]:
    for place, text in enumerate(texts):
        if start <= place < stop:
            yield text


def _part(plain: dict[str, Any]) -> Part:
    files = tuple(ShardFile(**file) for file in plain.pop("files"))
    return Part(files=files, **plain)
