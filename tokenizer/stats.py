"""What is known of prepared text: stats.json, its totals and each batch. Counts only, never anybody's words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tokenizer.clean.conversations import GAP_SECONDS
from tokenizer.clean.sources import PREPARED, Skipped
from tokenizer.errors import TextError

STATS, INDEX = PREPARED
FORMAT: Final = "cellmind-text-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person chose. `columns` maps time, user and text to the names of a table's columns."""

    given_names: tuple[str, ...] = ()
    keeps_names: bool = False
    gap_seconds: int = GAP_SECONDS
    has_turns: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    is_append: bool = False


@dataclass(slots=True, kw_only=True)
class FileReport:
    """What became of one file. `skipped` are counts by reason."""

    name: str
    format: str
    confidence: float
    encoding: str
    messages: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a batch beside its documents."""

    files: tuple[FileReport, ...]
    left_alone: tuple[Skipped, ...]
    users: int
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What came in and what became of it. `empty` messages had no text left; times are ISO 8601."""

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
    """What one `prepare` added. Sizes in bytes are of the files after it."""

    files: list[dict[str, Any]]
    left_alone: list[dict[str, str]]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats(Counts):
    """A folder's stats.json: totals, then each batch. `id` is drawn when the folder is first prepared."""

    format: str
    id: str
    batches: list[Batch]


def read_stats(folder: Path) -> Stats:
    """Raises TextError when this is no prepared folder."""
    try:
        plain = json.loads((folder / STATS).read_bytes())
        if plain["format"] != FORMAT:
            raise TextError(f"{folder} was prepared by another version", "prepare it again with this one")
        batches = [Batch(**batch) for batch in plain.pop("batches")]
        return Stats(**plain, batches=batches)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TextError(f"{folder} is no prepared folder", f"cellmindctl data prepare FILE --out {folder}") from error


def total_of(collection_id: str, batches: list[Batch]) -> Stats:
    def add(name: str) -> dict[str, int]:
        total: Counter[str] = Counter()
        for batch in batches:
            total.update(getattr(batch, name))
        return dict(sorted(total.items()))

    times = [time for batch in batches for time in (batch.first_time, batch.last_time) if time]
    sums = {
        name: sum(getattr(batch, name) for batch in batches)
        for name in ("messages", "documents", "held_out", "empty", "characters")
    }
    return Stats(
        format=FORMAT,
        id=collection_id,
        users=max(batch.users for batch in batches),
        names=max(batch.names for batch in batches),
        replaced=add("replaced"),
        skipped=add("skipped"),
        duplicates=add("duplicates"),
        first_time=min(times, default=None),
        last_time=max(times, default=None),
        batches=batches,
        **sums,
    )
