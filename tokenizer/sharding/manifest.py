"""The manifest of token shards: what the files are, and how many documents and tokens they have.

    manifest.json            the fields of Manifest
    train-0-0-0000.bin ...   rows of seq_len + 1 ids, uint16 (uint32 over 65,536 pieces), padded with <|pad|>
    held-out-0-0-0000.bin    the same of the documents that are never trained on

The name of a shard has the numbers of its source, its batch and its part, so a batch that is added later changes none
of the earlier files.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tokenizer.errors import TextError

MANIFEST: Final = "manifest.json"
FORMAT: Final = "cellmind-shards-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """One shard of `size` bytes.

    `tokens` counts the tokens that are predicted, `utf8_bytes` the text that they spell. `padding` counts the tokens
    that packing left empty, `padding_if_padded` those that padded batches of 32 documents would have wasted.
    """

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
class ShardSet:
    """The shards of the documents to train on, or of those held out. Its counts are sums over the files."""

    files: tuple[ShardFile, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(file.rows for file in self.files)

    @property
    def documents(self) -> int:
        """The number of documents."""
        return sum(file.documents for file in self.files)

    @property
    def tokens(self) -> int:
        """The number of predicted tokens."""
        return sum(file.tokens for file in self.files)

    @property
    def utf8_bytes(self) -> int:
        """The size of the text in bytes."""
        return sum(file.utf8_bytes for file in self.files)

    @property
    def padding(self) -> int:
        """The number of padding tokens."""
        return sum(file.padding for file in self.files)

    @property
    def padding_if_padded(self) -> int:
        """The number of padding tokens that padded batches would have."""
        return sum(file.padding_if_padded for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a trainer must know of the shards. `tokenizer` is the SHA-256 of its model file, `dtype` a name of numpy."""

    format: str
    dtype: str
    seq_len: int
    vocab_size: int
    start_id: int
    end_id: int
    pad_id: int
    tokenizer: str
    train: ShardSet
    held_out: ShardSet


def to_json(manifest: Manifest) -> bytes:
    """The contents of manifest.json."""
    return json.dumps(asdict(manifest), indent=1).encode()


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises TextError if it is no manifest, or one of another format."""
    try:
        plain = json.loads(path.read_bytes())
        if plain["format"] != FORMAT:
            raise TextError(
                "{path} has the unknown format {format}",
                "prepare the data again with this version",
                path=path,
                format=repr(plain["format"]),
            )
        train, held_out = _read_set(plain.pop("train")), _read_set(plain.pop("held_out"))
        return Manifest(train=train, held_out=held_out, **plain)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TextError("{path} is not a manifest of shards", "prepare the data again", path=path) from error


def _read_set(plain: dict[str, Any]) -> ShardSet:
    return ShardSet(tuple(ShardFile(**file) for file in plain["files"]))
