"""stats.json: counts of a folder of prepared text, in total and per batch. It never has anybody's words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tokenizer.corpus.input.sources import SkippedFile
from tokenizer.corpus.prepared_files import STATS
from tokenizer.errors import TextError

FORMAT: Final = "cellmind-text-2"


@dataclass(slots=True, kw_only=True)
class FileReport:
    """What was read from one file. `confidence` is 0 to 1; `skipped` are counts by reason."""

    name: str
    format: str
    confidence: float
    encoding: str
    messages: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReport:
    """What was read from all files of a batch. `names` are the hidden names, which must not be written or shown."""

    files: tuple[FileReport, ...]
    left_alone: tuple[SkippedFile, ...]
    num_users: int
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came in, and what became of it.

    `documents` are those to train on. `empty` counts messages without text after cleaning. `replaced` are counts by
    placeholder, `skipped` by reason, `duplicates` by kind. Times are ISO 8601.
    """

    messages: int
    documents: int
    held_out: int
    empty: int
    characters: int
    users: int
    names: int
    replaced: dict[str, int]
    skipped: dict[str, int]
    duplicates: dict[str, int]
    first_time: str | None
    last_time: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Counts):
    """What one `prepare` added. `sizes` are the bytes of each file in the folder after it."""

    files: list[dict[str, Any]]
    left_alone: list[dict[str, str]]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Counts):
    """The contents of stats.json: the totals and each batch. `id` is drawn when the folder is first prepared."""

    format: str
    id: str
    batches: list[Batch]


def read_stats(folder: Path) -> Stats:
    """The folder's statistics. Raises TextError if it is no folder of prepared text, or one of another version."""
    try:
        plain = json.loads((folder / STATS).read_bytes())
        if plain["format"] != FORMAT:
            raise TextError("{folder} was prepared by another version", "prepare it again with this one", folder=folder)
        batches = [Batch(**batch) for batch in plain.pop("batches")]
        return Stats(**plain, batches=batches)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TextError(
            "{folder} is not a folder of prepared text", "cellmindctl data prepare FILE --out {folder}", folder=folder
        ) from error


def total(collection_id: str, batches: list[Batch]) -> Stats:
    """The statistics of a folder with these batches."""
    times = [time for batch in batches for time in (batch.first_time, batch.last_time) if time]
    return Stats(
        format=FORMAT,
        id=collection_id,
        messages=sum(batch.messages for batch in batches),
        documents=sum(batch.documents for batch in batches),
        held_out=sum(batch.held_out for batch in batches),
        empty=sum(batch.empty for batch in batches),
        characters=sum(batch.characters for batch in batches),
        # A later export usually has the same people as the earlier ones.
        users=max(batch.users for batch in batches),
        names=max(batch.names for batch in batches),
        replaced=add_counts([batch.replaced for batch in batches]),
        skipped=add_counts([batch.skipped for batch in batches]),
        duplicates=add_counts([batch.duplicates for batch in batches]),
        first_time=min(times, default=None),
        last_time=max(times, default=None),
        batches=batches,
    )


def add_counts(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    """The sum of counts by kind, sorted by kind."""
    sums: Counter[str] = Counter()
    for one in counts:
        sums.update(one)
    return dict(sorted(sums.items()))
