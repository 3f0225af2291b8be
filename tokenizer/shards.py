"""Token shards: packed rows in flat little-endian files, and a manifest that says what they are.

    manifest.json            everything below, the tokenizer's SHA-256, counts
    train-0-0-0000.bin ...   rows of seq_len + 1 ids, uint16 (uint32 over 65,536 pieces), padded with <|pad|>
    held-out-0-0-0000.bin    the last documents in time, never trained on

A file is named by source, batch and part: a batch that is added later changes none of the files before it.

Files are memory-mapped, so data of many GiB needs no RAM.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.errors import TextError

FORMAT = "cellmind-shards-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """`tokens` are those that get predicted, `utf8_bytes` the text that they spell. `padding` is what packing left
    empty, `padding_if_padded` what padded batches of 32 documents would have wasted; both in tokens."""

    name: str
    sha256: str
    size: int
    rows: int
    documents: int
    tokens: int
    utf8_bytes: int
    padding: int
    padding_if_padded: int


@dataclass(frozen=True, slots=True)
class Part:
    """One side of the split."""

    files: tuple[ShardFile, ...]

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    @property
    def documents(self) -> int:
        return sum(file.documents for file in self.files)

    @property
    def tokens(self) -> int:
        return sum(file.tokens for file in self.files)

    @property
    def utf8_bytes(self) -> int:
        return sum(file.utf8_bytes for file in self.files)

    @property
    def padding(self) -> int:
        return sum(file.padding for file in self.files)

    @property
    def padding_if_padded(self) -> int:
        return sum(file.padding_if_padded for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
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


def to_json(manifest: Manifest) -> bytes:
    return json.dumps(asdict(manifest), indent=1).encode()


def read_manifest(path: Path) -> Manifest:
    """Raises TextError."""
    try:
        plain = json.loads(path.read_bytes())
        if plain["format"] != FORMAT:
            raise TextError(f"shards of format {plain['format']!r}", "prepare the data again with this version")
        sides = {
            side: Part(tuple(ShardFile(**file) for file in plain.pop(side)["files"])) for side in ("train", "held_out")
        }
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
