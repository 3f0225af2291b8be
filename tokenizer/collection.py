"""A folder of prepared text: what it holds, how a batch is added, which documents are held out.

New documents wait in a spool on disk, each with a fingerprint; only fingerprints are ever in memory. A batch is added
to the files whole: stats.json is written last and says how long they are, so what a crash left behind it is cut off
next time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from tokenizer.choosing import HELD_OUT_SHARE, Choice, Flags, choose
from tokenizer.clean.documents import ENTRY, Entries, line_of
from tokenizer.clean.messages import NO_TIME, iso
from tokenizer.errors import TextError
from tokenizer.files import whole_file, write_whole
from tokenizer.spool import Spool
from tokenizer.stats import INDEX, STATS, Batch, Facts, Stats, read_stats, total_of

TRAIN, HELD_OUT, TEXT = "train.jsonl", "held-out.jsonl", "textonly.txt"
NAMES = "names.json"
_MOST_AT_ONCE: Final = 200  # documents, of at most LONGEST characters and one message each


class Collection:
    """The folder. Nothing in it changes before `add` has everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._id = secrets.token_hex(8)
        self._batches: list[Batch] = []
        self.entries: Entries = np.zeros(0, dtype=ENTRY)
        self._salt, self._names = secrets.token_hex(16), set[str]()

    def load(self) -> None:
        """What is there already. Raises TextError when that is nothing, or of another version."""
        try:
            stats = read_stats(self._folder)
            self._id, self._batches = stats.id, stats.batches
            size = self._batches[-1].sizes[INDEX] // ENTRY.itemsize
            self.entries = np.fromfile(self._folder / INDEX, dtype=ENTRY, count=size)
            plain = json.loads((self._folder / NAMES).read_bytes())
            self._salt, self._names = plain["salt"], set(plain["hashes"])
        except (OSError, ValueError, KeyError) as error:
            raise TextError(f"{self._folder} cannot be added to", "prepare it anew, without --append") from error

    def add(self, spool: Spool, facts: Facts) -> Stats:
        """Write the batch. Raises TextError when none of it is new."""
        lines, _, entries = spool.read()
        choice = choose(lines, entries, self.entries)
        if not choice.is_new.any():
            raise TextError("everything in these files is there already", "nothing was changed")
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._write(spool, choice)
        kept = entries[choice.is_new]
        self.entries = np.concatenate([self.entries, kept])
        write_whole(self._folder / INDEX, self.entries.tobytes())
        self._names |= {name_hash(self._salt, name) for name in facts.names}
        write_whole(self._folder / NAMES, json.dumps({"salt": self._salt, "hashes": sorted(self._names)}).encode())
        skipped: Counter[str] = Counter()
        for file in facts.files:
            skipped.update(file.skipped)
        times = kept["start"][kept["start"] != NO_TIME]
        batch = Batch(
            messages=spool.messages,
            documents=written.documents,
            held_out=written.held_out,
            empty=spool.empty,
            characters=written.characters,
            users=facts.users,
            names=len(facts.names),
            replaced=dict(sorted(spool.replaced.items())),
            skipped=dict(sorted(skipped.items())),
            duplicates=choice.duplicates,
            first_time=iso(int(times.min())) if len(times) else None,
            last_time=iso(int(kept["end"].max())) if len(times) else None,
            files=[asdict(file) for file in facts.files],
            left_alone=[asdict(skip) for skip in facts.left_alone],
            sizes=written.sizes | {INDEX: self.entries.nbytes},
        )
        stats = total_of(self._id, [*self._batches, batch])
        write_whole(self._folder / STATS, json.dumps(asdict(stats), ensure_ascii=False, indent=1).encode())
        return stats

    def _write(self, spool: Spool, choice: Choice) -> _Written:
        """The three text files, each as it was before and then what is new."""
        written = _Written()
        sizes = self._batches[-1].sizes if self._batches else {}
        lines, texts, entries = spool.read()
        is_changed = np.full(len(entries), choice.is_new.sum() == 1 and not self._batches)
        is_changed[list(choice.known)] = True
        with ExitStack() as stack:
            files = {}
            for name in (TRAIN, HELD_OUT, TEXT):
                files[name] = stack.enter_context(whole_file(self._folder / name))
                _copy(self._folder / name, files[name], sizes.get(name, 0))
            for start, stop in _runs(choice.is_new, choice.is_held_out, is_changed):
                run = entries[start:stop]
                piece = _Piece(
                    lines.read(int(run["line_size"].sum())),
                    texts.read(int(run["text_size"].sum())),
                    stop - start,
                    int(run["characters"].sum()),
                    bool(choice.is_held_out[start]),
                )
                if not choice.is_new[start]:
                    continue
                for part in _changed(piece, choice.known.get(start)) if is_changed[start] else [piece]:
                    files[HELD_OUT if part.is_held_out else TRAIN].write(part.lines)
                    if not part.is_held_out:
                        files[TEXT].write(part.texts)
                    written.count(part)
            written.sizes = {name: file.tell() for name, file in files.items()}
        return written


@dataclass(frozen=True, slots=True)
class _Piece:
    """Documents that follow one another in the spool and have the same fate."""

    lines: bytes
    texts: bytes
    documents: int
    characters: int
    is_held_out: bool


@dataclass(slots=True)
class _Written:
    characters: int = 0
    documents: int = 0
    held_out: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    def count(self, piece: _Piece) -> None:
        self.characters += piece.characters
        if piece.is_held_out:
            self.held_out += piece.documents
        else:
            self.documents += piece.documents


def name_hash(salt: str, name: str) -> str:
    """What stands for a name on disk: enough to recognise it in a vocabulary, not to read it."""
    return hashlib.blake2b(name.encode(), key=salt.encode(), digest_size=8).hexdigest()


def _runs(is_new: Flags, is_held_out: Flags, is_changed: Flags) -> Iterator[tuple[int, int]]:
    """Stretches of documents of one fate; those that are changed are alone, and none is longer than memory bears."""
    fates = is_new * 4 + is_held_out * 2 + is_changed
    is_first = np.concatenate([[True], (fates[1:] != fates[:-1]) | is_changed[1:]])
    is_first[::_MOST_AT_ONCE] = True
    starts = np.flatnonzero(is_first).tolist()
    return zip(starts, [*starts[1:], len(fates)], strict=True)


def _changed(piece: _Piece, known: int | None) -> list[_Piece]:
    """One document: without the characters that an earlier one has; or, where it is the only one, cut in two, since a
    single conversation still has an end to be held out."""
    document = json.loads(piece.lines)
    text: str = document["text"]
    if known is not None:
        return [_piece(document, text[known:].lstrip("\n"), piece.is_held_out)]
    rows = text.split("\n")
    last = max(1, round(len(rows) * HELD_OUT_SHARE))
    if len(rows) < 2:
        return [piece]
    halves = "\n".join(rows[:-last]), "\n".join(rows[-last:])
    return [_piece(document, half, is_held_out=place == 1) for place, half in enumerate(halves)]


def _piece(document: dict[str, Any], text: str, is_held_out: bool) -> _Piece:
    return _Piece(line_of({**document, "text": text}), text.encode() + b"\n", 1, len(text), is_held_out)


def _copy(path: Path, file: BinaryIO, size: int) -> None:
    """The first `size` bytes, whatever a crash may have left behind them. Raises TextError when they are fewer."""
    if not size:
        return
    with open(path, "rb") as old:
        left = size
        while left:
            data = old.read(min(left, 1 << 20))
            if not data:
                raise TextError(f"{path} is shorter than {STATS} says", "prepare it anew, without --append")
            file.write(data)
            left -= len(data)
