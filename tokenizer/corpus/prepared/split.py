"""The split of prepared documents into those to train on and those held out, as byte ranges of JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenizer.byte_ranges import ByteRange, file_size, unreadable
from tokenizer.corpus.prepared.selection import HELD_OUT_SHARE
from tokenizer.corpus.prepared.stats import read_stats
from tokenizer.corpus.prepared_files import HELD_OUT, STATS, TRAIN
from tokenizer.errors import TextError


@dataclass(frozen=True, slots=True)
class Split:
    """The documents to train on and those held out: one byte range per file and batch, by name.

    A name is `SOURCE-BATCH`, two numbers. It stays the same when batches are added later.
    """

    train: Mapping[str, ByteRange]
    held_out: Mapping[str, ByteRange]


def is_prepared(path: Path) -> bool:
    """Whether the path is a folder of prepared text, or JSON lines, which are used as they are."""
    return (path / STATS).exists() if path.is_dir() else path.suffix.lower() == ".jsonl"


def prepared_split(paths: Sequence[Path], only_new: bool = False) -> Split:
    """The split of folders of prepared text and of JSONL files.

    A prepared folder has its own held-out documents. Of other JSONL files the last twentieth of the documents is held
    out. With `only_new` the documents to train on are those of each folder's last batch.

    Raises TextError if a file cannot be read, or if `only_new` does not apply to it.
    """
    train: dict[str, ByteRange] = {}
    held_out: dict[str, ByteRange] = {}
    plain: dict[str, ByteRange] = {}
    for source, path in enumerate(paths):
        folder = path if path.is_dir() else path.parent
        if (path.is_dir() or path.name == TRAIN) and (folder / STATS).exists():
            batches = read_stats(folder).batches
            ranges = _batch_ranges(folder / TRAIN, [batch.sizes[TRAIN] for batch in batches], source)
            if only_new and len(ranges) < len(batches):
                raise TextError(
                    "{folder} was changed, so its new documents are unknown",
                    "train without --only-new",
                    folder=folder / TRAIN,
                )
            train |= dict(list(ranges.items())[-1:]) if only_new else ranges
            held_out |= _batch_ranges(folder / HELD_OUT, [batch.sizes[HELD_OUT] for batch in batches], source)
        elif only_new:
            raise TextError(
                "{path} has no batches, so none is new", "cellmindctl data prepare FILE --append", path=path
            )
        else:
            plain[f"{source}-0"] = ByteRange(path, 0, file_size(path))
    if plain:
        kept, last = _hold_out_last(plain)
        train, held_out = train | kept, held_out | last
    return Split(train, held_out)


def _batch_ranges(path: Path, ends: Sequence[int], source: int) -> dict[str, ByteRange]:
    """The range of each batch. If a person changed the file since, its size differs, and it is one range."""
    size = file_size(path)
    if size != ends[-1]:
        ends = [size]
    starts = [0, *ends[:-1]]
    return {
        f"{source}-{batch}": ByteRange(path, start, end)
        for batch, (start, end) in enumerate(zip(starts, ends, strict=True))
    }


def _hold_out_last(files: Mapping[str, ByteRange]) -> tuple[dict[str, ByteRange], dict[str, ByteRange]]:
    """Split the ranges of whole files before the last twentieth of their documents."""
    starts_by_name = {name: _document_starts(whole.path) for name, whole in files.items()}
    num_documents = sum(map(len, starts_by_name.values()))
    if num_documents < 2:
        raise TextError(
            "{num_documents} document is not enough to train on", "give more text", num_documents=num_documents
        )
    # How many documents are still to be kept; negative once the cut was in an earlier file.
    num_left = num_documents - max(1, round(num_documents * HELD_OUT_SHARE))
    kept, last = {}, {}
    for name, whole in files.items():
        starts = starts_by_name[name]
        cut = int(starts[num_left]) if 0 <= num_left < len(starts) else whole.stop if num_left > 0 else 0
        num_left -= len(starts)
        kept[name] = replace(whole, stop=cut)
        last[name] = replace(whole, start=cut)
    return _without_empty(kept), _without_empty(last)


def _without_empty(ranges: Mapping[str, ByteRange]) -> dict[str, ByteRange]:
    return {name: part for name, part in ranges.items() if part.size}


def _document_starts(path: Path) -> npt.NDArray[np.int64]:
    """The offsets of a file at which its documents begin. Raises TextError."""
    starts, offset = [], 0
    try:
        with open(path, "rb") as file:
            for line in file:
                if not line.isspace():
                    starts.append(offset)
                offset += len(line)
    except OSError as error:
        raise unreadable(path, error) from error
    return np.array(starts, dtype=np.int64)
