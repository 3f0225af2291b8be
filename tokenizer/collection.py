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
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tokenizer.choosing import HELD_OUT_SHARE, Choice, choose
from tokenizer.clean.documents import ENTRY, Entries, line_of
from tokenizer.clean.messages import NO_TIME, iso
from tokenizer.errors import TextError
from tokenizer.files import whole_file, write_whole
from tokenizer.spool import Spool
from tokenizer.stats import STATS, Batch, Facts, Stats, read_stats, total_of

TRAIN, HELD_OUT, TEXT = "train.jsonl", "held-out.jsonl", "textonly.txt"
INDEX, NAMES = "index.bin", "names.json"


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
        is_only = choice.is_new.sum() == 1 and not self._batches
        columns = (choice.is_new, choice.is_held_out, entries["line_size"], entries["text_size"], entries["characters"])
        with ExitStack() as stack:
            files = {}
            for name in (TRAIN, HELD_OUT, TEXT):
                files[name] = stack.enter_context(whole_file(self._folder / name))
                _copy(self._folder / name, files[name], sizes.get(name, 0))
            rows = zip(*(column.tolist() for column in columns), strict=True)
            for place, (is_new, is_held_out, line_size, text_size, characters) in enumerate(rows):
                pieces = [_Piece(lines.read(line_size), texts.read(text_size), characters, is_held_out)]
                if not is_new:
                    continue
                if is_only:
                    pieces = _halves(pieces[0])
                elif place in choice.known:
                    pieces = [_remainder(pieces[0], choice.known[place])]
                for piece in pieces:
                    written.characters += piece.characters
                    files[HELD_OUT if piece.is_held_out else TRAIN].write(piece.line)
                    if piece.is_held_out:
                        written.held_out += 1
                    else:
                        files[TEXT].write(piece.text)
                        written.documents += 1
            written.sizes = {name: file.tell() for name, file in files.items()}
        return written


@dataclass(slots=True)
class _Written:
    characters: int = 0
    documents: int = 0
    held_out: int = 0
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A document as it is written: its line of JSON, its text and a line feed."""

    line: bytes
    text: bytes
    characters: int
    is_held_out: bool


def name_hash(salt: str, name: str) -> str:
    """What stands for a name on disk: enough to recognise it in a vocabulary, not to read it."""
    return hashlib.blake2b(name.encode(), key=salt.encode(), digest_size=8).hexdigest()


def _remainder(piece: _Piece, known: int) -> _Piece:
    """Without the characters that an earlier document has."""
    document = json.loads(piece.line)
    return _piece(document, document["text"][known:].lstrip("\n"), piece.is_held_out)


def _halves(piece: _Piece) -> list[_Piece]:
    """A single conversation still has an end to be held out: its last lines."""
    document = json.loads(piece.line)
    lines = document["text"].split("\n")
    last = max(1, round(len(lines) * HELD_OUT_SHARE))
    if len(lines) < 2:
        return [piece]
    texts = "\n".join(lines[:-last]), "\n".join(lines[-last:])
    return [_piece(document, text, is_held_out=place == 1) for place, text in enumerate(texts)]


def _piece(document: dict[str, Any], text: str, is_held_out: bool) -> _Piece:
    return _Piece(line_of({**document, "text": text}), text.encode() + b"\n", len(text), is_held_out)


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
