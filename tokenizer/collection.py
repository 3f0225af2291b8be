"""A folder of prepared text: what it holds, how a batch is added, which documents are held out.

New documents wait in a spool on disk, each with a fingerprint; only fingerprints are ever in memory. A batch is added
to the files whole: stats.json is written last and says how long they are, so what a crash left behind it is cut off
next time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from tokenizer.clean.conversations import GAP_SECONDS, Document
from tokenizer.clean.duplicates import BANDS, Hashes, beginning_hash, exact_hash
from tokenizer.clean.messages import NO_TIME, iso
from tokenizer.clean.sources import Skipped
from tokenizer.errors import TextError
from tokenizer.files import whole_file, write_whole

TRAIN, HELD_OUT, TEXT, STATS, INDEX, NAMES = (
    "train.jsonl", "held-out.jsonl", "textonly.txt", "stats.json", "index.bin", "names.json",
)  # fmt: skip
HELD_OUT_SHARE: Final = 0.05
FORMAT: Final = "cellmind-text-1"
_COMPARED: Final = 8  # earlier documents with the same beginning
_ENTRY: Final = np.dtype(
    [
        ("start", "<i8"),
        ("end", "<i8"),
        ("size", "<u4"),  # of its line, bytes
        ("characters", "<u4"),
        ("messages", "<u4"),
        ("source", "<u4"),
        ("exact", "<u8"),
        ("beginning", "<u8"),
        ("near", "<u8", (BANDS,)),
    ]
)
Entries = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]


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
    wishes: Wishes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one `prepare` added. Sizes in bytes are of the files after it."""

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
    files: list[dict[str, Any]]
    left_alone: list[dict[str, str]]
    sizes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A folder's stats.json: totals, then each batch. `samples` are only told, and never written here."""

    format: str
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
    batches: list[Batch]


class Spool:
    """Documents on their way: lines in one file, fingerprints in another."""

    def __init__(self, lines: BinaryIO, entries: BinaryIO) -> None:
        self._lines, self._entries, self._source = lines, entries, 0
        self.documents = self.messages = self.empty = 0
        self.replaced: Counter[str] = Counter()
        self.samples: list[tuple[str, str]] = []

    def begin_source(self, number: int) -> None:
        self._source = number

    def count(self, messages: int, empty: int, replaced: Counter[str]) -> None:
        self.messages += messages
        self.empty += empty
        self.replaced.update(replaced)

    def put(self, documents: Sequence[Document], near: Hashes) -> None:
        """`near` has a row for each document."""
        entries = np.zeros(len(documents), dtype=_ENTRY)
        lines = []
        for place, document in enumerate(documents):
            line = _line(document.text, document.start)
            lines.append(line)
            entries[place] = (
                document.start,
                document.end,
                len(line),
                len(document.text),
                document.messages,
                self._source,
                exact_hash(document.text),
                beginning_hash(document.text),
                near[place],
            )
        self._lines.write(b"".join(lines))
        self._entries.write(entries.tobytes())
        self.documents += len(documents)

    def read(self) -> tuple[BinaryIO, Entries]:
        """The lines, to be read from anywhere, and all entries."""
        self._lines.flush()
        self._entries.seek(0)
        return self._lines, np.frombuffer(self._entries.read(), dtype=_ENTRY)


@contextmanager
def open_spool(out: Path) -> Iterator[Spool]:
    """In a folder of its own beside `out`, which goes with it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder,
        open(Path(folder, "lines"), "w+b") as lines,
        open(Path(folder, "entries"), "w+b") as entries,
    ):
        yield Spool(lines, entries)


class Collection:
    """The folder. Nothing in it changes before `add` has everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._batches: list[Batch] = []
        self._entries: Entries = np.zeros(0, dtype=_ENTRY)
        self._salt, self._names = secrets.token_hex(16), set[str]()

    def load(self) -> None:
        """What is there already. Raises TextError when that is nothing, or of another version."""
        try:
            self._batches = read_stats(self._folder).batches
            size = self._batches[-1].sizes[INDEX] // _ENTRY.itemsize
            self._entries = np.fromfile(self._folder / INDEX, dtype=_ENTRY, count=size)
            plain = json.loads((self._folder / NAMES).read_bytes())
            self._salt, self._names = plain["salt"], set(plain["hashes"])
        except (OSError, ValueError, KeyError) as error:
            raise TextError(f"{self._folder} cannot be added to", "prepare it anew, without --append") from error

    def add(self, spool: Spool, facts: Facts) -> Stats:
        """Write the batch. Raises TextError when none of it is new."""
        lines, entries = spool.read()
        is_new, remainders, duplicates = _choose(lines, entries, self._entries)
        if not is_new.any():
            raise TextError("everything in these files is there already", "nothing was changed")
        is_held_out = _held_out(entries, is_new)
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._write(lines, entries, is_new, is_held_out, remainders)
        kept = entries[is_new]
        index = np.concatenate([self._entries, kept])
        write_whole(self._folder / INDEX, index.tobytes())
        self._names |= {name_hash(self._salt, name) for name in facts.names}
        write_whole(self._folder / NAMES, json.dumps({"salt": self._salt, "hashes": sorted(self._names)}).encode())
        skipped: Counter[str] = Counter()
        for file in facts.files:
            skipped.update(file.skipped)
        times = kept["start"][kept["start"] != NO_TIME]
        batch = Batch(
            messages=spool.messages,
            documents=int(is_new.sum()) - written.held_out + written.cut,
            held_out=written.held_out,
            empty=spool.empty,
            characters=written.characters,
            users=facts.users,
            names=len(facts.names),
            replaced=dict(sorted(spool.replaced.items())),
            skipped=dict(sorted(skipped.items())),
            duplicates=duplicates,
            first_time=iso(int(times.min())) if len(times) else None,
            last_time=iso(int(kept["end"].max())) if len(times) else None,
            files=[asdict(file) for file in facts.files],
            left_alone=[asdict(skip) for skip in facts.left_alone],
            sizes=written.sizes | {INDEX: index.nbytes},
        )
        stats = _total([*self._batches, batch])
        write_whole(self._folder / STATS, json.dumps(asdict(stats), ensure_ascii=False, indent=1).encode())
        return stats

    def _write(
        self, lines: BinaryIO, entries: Entries, is_new: Flags, is_held_out: Flags, remainders: Mapping[int, int]
    ) -> _Written:
        """The three text files, each as it was before and then what is new."""
        written = _Written()
        sizes = self._batches[-1].sizes if self._batches else {}
        places = {name: self._folder / name for name in (TRAIN, HELD_OUT, TEXT)}
        with whole_file(places[TRAIN]) as train, whole_file(places[HELD_OUT]) as held, whole_file(places[TEXT]) as text:
            files = {TRAIN: train, HELD_OUT: held, TEXT: text}
            for name, file in files.items():
                _copy(places[name], file, sizes.get(name, 0))
            lines.seek(0)
            for place, size in enumerate(entries["size"].tolist()):
                line = lines.read(size)
                if not is_new[place]:
                    continue
                document = json.loads(line)
                if place in remainders:
                    document["text"] = document["text"][remainders[place] :].lstrip("\n")
                    line = _dump(document)
                pieces = [(line, document["text"], bool(is_held_out[place]))]
                if is_new.sum() == 1 and not self._batches:
                    pieces = _split_one(document)
                for line, body, is_held in pieces:
                    written.characters += len(body)
                    if is_held:
                        held.write(line)
                        written.held_out += 1
                    else:
                        train.write(line)
                        text.write(body.encode() + b"\n")
                written.cut += len(pieces) - 1
            written.sizes = {name: file.tell() for name, file in files.items()}
        return written


@dataclass(slots=True)
class _Written:
    characters: int = 0
    held_out: int = 0
    cut: int = 0
    sizes: dict[str, int] = field(default_factory=dict)


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


def name_hash(salt: str, name: str) -> str:
    """What stands for a name on disk: enough to recognise it in a vocabulary, not to read it."""
    return hashlib.blake2b(name.encode(), key=salt.encode(), digest_size=8).hexdigest()


def _choose(lines: BinaryIO, entries: Entries, old: Entries) -> tuple[Flags, dict[int, int], dict[str, int]]:
    """Which documents are new; for those that go on where an earlier one broke off, how many characters are known;
    counts."""
    count = len(old)
    is_exact = _is_repeated(np.concatenate([old["exact"], entries["exact"]]))[count:]
    remainders = _continued(lines, entries, old, ~is_exact)
    repeated_bands = np.zeros(len(entries), dtype=np.int64)
    for band in range(BANDS):
        keys = np.concatenate([old["near"][:, band], entries["near"][:, band]])
        repeated_bands += (_is_repeated(keys) & (keys != 0))[count:]
    is_near = repeated_bands >= 2  # one may be alike by chance
    is_near &= ~is_exact
    is_near[list(remainders)] = False
    duplicates = {"exact": int(is_exact.sum()), "near": int(is_near.sum()), "continued": len(remainders)}
    return ~is_exact & ~is_near, remainders, duplicates


def _is_repeated(keys: npt.NDArray[np.uint64]) -> Flags:
    """True for all but the first of equal keys."""
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    return repeated


def _continued(lines: BinaryIO, entries: Entries, old: Entries, is_candidate: Flags) -> dict[int, int]:
    """Documents whose beginning is a whole earlier document: place to its length in characters."""
    count = len(old)
    beginnings = np.concatenate([old["beginning"], entries["beginning"]])
    suspects = np.flatnonzero(_is_repeated(beginnings)[count:] & is_candidate)
    if not len(suspects):
        return {}
    exact = np.concatenate([old["exact"], entries["exact"]])
    characters = np.concatenate([old["characters"], entries["characters"]])
    order = np.argsort(beginnings, kind="stable")
    ordered = beginnings[order]
    offsets = np.concatenate([[0], np.cumsum(entries["size"], dtype=np.int64)])
    found = {}
    for place in suspects.tolist():
        first = int(np.searchsorted(ordered, beginnings[count + place]))
        last = int(np.searchsorted(ordered, beginnings[count + place], side="right"))
        earlier = [int(i) for i in order[first:last] if i < count + place][-_COMPARED:]
        lines.seek(int(offsets[place]))
        text = json.loads(lines.read(int(entries["size"][place])))["text"]
        known = [int(characters[i]) for i in earlier if exact_hash(text[: int(characters[i])]) == int(exact[i])]
        if known and max(known) < len(text):
            found[place] = max(known)
    return found


def _held_out(entries: Entries, is_new: Flags) -> Flags:
    """The last ones in time, a twentieth of the characters; of texts without a time the last of each file."""
    held = np.zeros(len(entries), dtype=bool)
    places = np.flatnonzero(is_new)
    is_timed = entries["start"][places] != NO_TIME
    timed = places[is_timed]
    groups = [timed[np.argsort(entries["start"][timed], kind="stable")]]
    untimed = places[~is_timed]
    groups += [untimed[entries["source"][untimed] == source] for source in np.unique(entries["source"][untimed])]
    for group in groups:
        if len(group) > 1:
            sizes = entries["characters"][group].astype(np.int64)
            from_end = np.cumsum(sizes[::-1])[::-1]
            last = group[from_end <= sizes.sum() * HELD_OUT_SHARE]
            held[last if len(last) else group[-1:]] = True
    if not held.any() and len(places) > 1:
        held[places[-1]] = True
    return held


def _split_one(document: dict[str, Any]) -> list[tuple[bytes, str, bool]]:
    """A single conversation still has an end to be held out: its last lines."""
    lines = document["text"].split("\n")
    last = max(1, round(len(lines) * HELD_OUT_SHARE))
    if len(lines) < 2:
        return [(_dump(document), document["text"], False)]
    texts = "\n".join(lines[:-last]), "\n".join(lines[-last:])
    return [(_dump({**document, "text": text}), text, i == 1) for i, text in enumerate(texts)]


def _total(batches: list[Batch]) -> Stats:
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


def _line(text: str, start: int) -> bytes:
    time = iso(start)
    return _dump({"text": text} if time is None else {"text": text, "time": time})


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
