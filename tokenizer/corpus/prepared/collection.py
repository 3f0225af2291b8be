"""A folder of prepared text: adds a batch to it.

New documents wait in a spool on disk, each with an entry; only entries are ever in memory. stats.json is written last
and says how long the other files are, so the next batch cuts off what a crash left after that.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from tokenizer.corpus.conversations.documents import ENTRY, Entries, json_line
from tokenizer.corpus.messages import NO_TIME, iso_time
from tokenizer.corpus.prepared.hidden_names import new_hidden_names, read_hidden_names
from tokenizer.corpus.prepared.selection import HELD_OUT_SHARE, Flags, Selection, select
from tokenizer.corpus.prepared.spool import Spool
from tokenizer.corpus.prepared.stats import Batch, InputReport, Stats, add_counts, read_stats, total
from tokenizer.corpus.prepared_files import HELD_OUT, INDEX, STATS, TEXT_ONLY, TRAIN
from tokenizer.errors import TextError
from tokenizer.files import whole_file, write_whole

_MAX_RUN_DOCUMENTS: Final = 200  # documents read into memory at once


class Collection:
    """The folder. Nothing in it changes before `add` has everything to write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._id = secrets.token_hex(8)
        self._batches: list[Batch] = []
        self.entries: Entries = np.zeros(0, dtype=ENTRY)
        self._names = new_hidden_names()

    def load(self) -> None:
        """Read what the folder holds already. Raises TextError if it is no folder of prepared text."""
        try:
            stats = read_stats(self._folder)
            self._id, self._batches = stats.id, stats.batches
            size = self._batches[-1].sizes[INDEX] // ENTRY.itemsize  # a crash may have left more
            self.entries = np.fromfile(self._folder / INDEX, dtype=ENTRY, count=size)
            self._names = read_hidden_names(self._folder)
        except (OSError, ValueError, KeyError) as error:
            raise TextError(
                "{folder} cannot be added to", "prepare it again without --append", folder=self._folder
            ) from error

    def add(self, spool: Spool, report: InputReport) -> Stats:
        """Write the new documents of a batch and return the folder's statistics.

        Raises TextError if no document is new, and OSError if the disk fails.
        """
        lines, _, entries = spool.read()
        selection = select(lines, entries, self.entries)
        if not selection.is_new.any():
            raise TextError("everything in these files is there already", "nothing was changed")
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._write_texts(spool, selection)
        kept = entries[selection.is_new]
        self.entries = np.concatenate([self.entries, kept])
        write_whole(self._folder / INDEX, self.entries.tobytes())
        self._names.add(report.names)
        self._names.write(self._folder)
        times = kept["start"][kept["start"] != NO_TIME]
        batch = Batch(
            messages=spool.messages,
            documents=written.documents,
            held_out=written.held_out,
            empty=spool.empty,
            characters=written.characters,
            users=report.num_users,
            names=len(report.names),
            replaced=dict(sorted(spool.replaced.items())),
            skipped=add_counts([file.skipped for file in report.files]),
            duplicates=selection.duplicates,
            first_time=iso_time(int(times.min())) if len(times) else None,
            last_time=iso_time(int(kept["end"].max())) if len(times) else None,
            files=[asdict(file) for file in report.files],
            left_alone=[asdict(skipped) for skipped in report.left_alone],
            sizes=written.sizes | {INDEX: self.entries.nbytes},
        )
        # stats.json is last: only now the batch counts.
        stats = total(self._id, [*self._batches, batch])
        write_whole(
            self._folder / STATS,
            json.dumps(asdict(stats), ensure_ascii=False, indent=1).encode(errors="backslashreplace"),
        )
        return stats

    def _write_texts(self, spool: Spool, selection: Selection) -> _Written:
        """Write the three text files again: the earlier batches as they are, then the new documents."""
        written = _Written()
        sizes = self._batches[-1].sizes if self._batches else {}
        lines, texts, entries = spool.read()
        # Documents whose text changes on the way, see `_edit`.
        is_only_document = selection.is_new.sum() == 1 and not self._batches
        is_edited = np.full(len(entries), is_only_document)
        is_edited[list(selection.known_characters)] = True
        with ExitStack() as stack:
            files = {}
            for name in (TRAIN, HELD_OUT, TEXT_ONLY):
                files[name] = stack.enter_context(whole_file(self._folder / name))
                _copy(self._folder / name, files[name], sizes.get(name, 0))
            for start, stop in _find_runs(selection.is_new, selection.is_held_out, is_edited):
                # Duplicates are read too, so that both files are at the next run.
                of_run = entries[start:stop]
                run = _Run(
                    lines.read(int(of_run["line_size"].sum())),
                    texts.read(int(of_run["text_size"].sum())),
                    stop - start,
                    int(of_run["characters"].sum()),
                    bool(selection.is_held_out[start]),
                )
                if not selection.is_new[start]:
                    continue
                for part in _edit(run, selection.known_characters.get(start)) if is_edited[start] else [run]:
                    files[HELD_OUT if part.is_held_out else TRAIN].write(part.lines)
                    if not part.is_held_out:
                        files[TEXT_ONLY].write(part.texts)
                    written.count(part)
            written.sizes = {name: file.tell() for name, file in files.items()}
        return written


@dataclass(frozen=True, slots=True)
class _Run:
    """Documents that follow one another in the spool and go to the same file."""

    lines: bytes
    texts: bytes
    documents: int
    characters: int
    is_held_out: bool


@dataclass(slots=True)
class _Written:
    """Counts of the documents that were written. `sizes` are the bytes of each file."""

    characters: int = 0
    documents: int = 0
    held_out: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    def count(self, run: _Run) -> None:
        self.characters += run.characters
        if run.is_held_out:
            self.held_out += run.documents
        else:
            self.documents += run.documents


def _find_runs(is_new: Flags, is_held_out: Flags, is_edited: Flags) -> Iterator[tuple[int, int]]:
    """The first index and the end of each run. An edited document is a run alone."""
    # One number per combination, so that two neighbours of different kinds differ.
    kinds = is_new * 4 + is_held_out * 2 + is_edited
    is_first = np.concatenate([[True], (kinds[1:] != kinds[:-1]) | is_edited[1:]])
    is_first[::_MAX_RUN_DOCUMENTS] = True
    starts = np.flatnonzero(is_first).tolist()
    return zip(starts, [*starts[1:], len(kinds)], strict=True)


def _edit(run: _Run, known_characters: int | None) -> list[_Run]:
    """Edit a run of one document.

    A document that continues an earlier one loses the characters that the earlier one has. The only document of a
    folder is split in two, so that the end of a single conversation can be held out.
    """
    document = json.loads(run.lines)
    text: str = document["text"]
    if known_characters is not None:
        return [_run_of(document, text[known_characters:].lstrip("\n"), run.is_held_out)]
    rows = text.split("\n")
    num_held_out = max(1, round(len(rows) * HELD_OUT_SHARE))
    if len(rows) < 2:
        return [run]
    return [
        _run_of(document, "\n".join(rows[:-num_held_out]), is_held_out=False),
        _run_of(document, "\n".join(rows[-num_held_out:]), is_held_out=True),
    ]


def _run_of(document: Mapping[str, object], text: str, is_held_out: bool) -> _Run:
    return _Run(json_line({**document, "text": text}), text.encode() + b"\n", 1, len(text), is_held_out)


def _copy(path: Path, file: BinaryIO, size: int) -> None:
    """Copy the first `size` bytes. Raises TextError if the file has fewer."""
    if not size:
        return
    with open(path, "rb") as old:
        left = size
        while left:
            data = old.read(min(left, 1 << 20))
            if not data:
                raise TextError(
                    "{path} is shorter than {stats} says", "prepare it again without --append", path=path, stats=STATS
                )
            file.write(data)
            left -= len(data)
