"""The texts of files as they are: prepared JSONL, plain text a line at a time, anything else a message at a time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenizer.choosing import HELD_OUT_SHARE
from tokenizer.clean.blocks import look, parse_block
from tokenizer.clean.reading import recognise_file
from tokenizer.clean.recognise import PLAIN
from tokenizer.clean.sources import find_sources, open_text
from tokenizer.collection import HELD_OUT, TRAIN
from tokenizer.errors import TextError
from tokenizer.stats import STATS, read_stats

_HINT: Final = 'each line is an object such as {"text": "안녕"}'


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines of a JSONL file, from one place of it to another (bytes). `name` tells stretches apart and stays the same
    when later ones are added."""

    path: Path
    start: int
    stop: int
    name: str

    @property
    def size(self) -> int:
        return self.stop - self.start

    def read(self) -> bytes:
        """Raises TextError."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                return file.read(self.size)
        except OSError as error:
            raise TextError(f"{self.path} cannot be read: {error.strerror}", "cellmindctl data prepare") from error


@dataclass(frozen=True, slots=True)
class Sides:
    """Prepared documents: to train on, and held out."""

    train: tuple[Stretch, ...]
    held_out: tuple[Stretch, ...]


def is_prepared(path: Path) -> bool:
    """Is it what `data prepare` writes, a folder or its JSONL, to be taken as it is?"""
    return (path / STATS).exists() if path.is_dir() else path.suffix.lower() == ".jsonl"


def prepared_sides(paths: Sequence[Path], only_new: bool = False) -> Sides:
    """A stretch a batch of each prepared folder, and what was held out beside it. Of JSONL files of other origin the
    last twentieth of the documents is held out. `only_new`: train on nothing but each folder's last batch. Raises
    TextError."""
    train: list[Stretch] = []
    held_out: list[Stretch] = []
    plain: list[Stretch] = []
    for source, path in enumerate(paths):
        folder = path if path.is_dir() else path.parent
        if (path.is_dir() or path.name == TRAIN) and (folder / STATS).exists():
            batches = read_stats(folder).batches
            mine = _batches_of(folder / TRAIN, [batch.sizes[TRAIN] for batch in batches], source)
            if only_new and len(mine) < len(batches):
                raise TextError(
                    f"{folder / TRAIN} was changed, so nobody knows what is new", "train without --only-new"
                )
            train += mine[-1:] if only_new else mine
            held_out += _batches_of(folder / HELD_OUT, [batch.sizes[HELD_OUT] for batch in batches], source)
        elif only_new:
            raise TextError(f"{path} has no batches, so none is new", "cellmindctl data prepare FILE --append")
        else:
            plain.append(Stretch(path, 0, _size(path), f"{source}-0"))
    if plain:
        kept, last = _without_last(plain)
        train, held_out = train + kept, held_out + last
    return Sides(tuple(train), tuple(held_out))


def read_stretches(stretches: Iterable[Stretch]) -> Iterator[str]:
    """Raises TextError."""
    for stretch in stretches:
        yield from read_documents(stretch.path, stretch.start, stretch.stop)


def size_of(paths: Iterable[Path]) -> int:
    """About how much text `read_texts` will read, bytes. Raises TextError."""
    total = 0
    for path in paths:
        if is_prepared(path):
            total += _size(path / TRAIN if path.is_dir() else path)
        else:
            total += sum(source.size for source in find_sources([path])[0])
    return total


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Raises TextError."""
    for path in paths:
        if is_prepared(path):
            yield from read_documents(path / TRAIN if path.is_dir() else path)
            continue
        sources, _ = find_sources([path])
        for file in map(recognise_file, sources):
            if file.found.format == PLAIN:
                with open_text(file.source, file.encoding) as stream:
                    yield from (line.rstrip("\n") for line in stream if not line.isspace())
                continue
            with tempfile.TemporaryDirectory() as folder:
                file.open(Path(folder))
                file.scans = [look(block) for block in file.blocks()]
                for block in file.blocks():
                    yield from (text for text in parse_block(block).texts if text)


def read_documents(path: Path, start: int = 0, stop: int | None = None) -> Iterator[str]:
    """The texts of a JSONL file between two places of it (bytes, each where a line begins). Raises TextError."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            size = None if stop is None else stop - start
            yield from texts_of(_until(file, size), path, start)
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}", "cellmindctl data prepare") from error


def texts_of(lines: Iterable[bytes], path: Path, place: int) -> Iterator[str]:
    """The texts of lines of JSON, of which the first begins at a place of the file (bytes). Raises TextError."""
    for line in lines:
        if not line.isspace():
            yield _text_of_line(line, path, place)
        place += len(line)


def _until(lines: Iterable[bytes], size: int | None) -> Iterator[bytes]:
    """The lines that begin in the first `size` bytes."""
    read = 0
    for line in lines:
        if size is not None and read >= size:
            return
        yield line
        read += len(line)


def _text_of_line(line: bytes, path: Path, place: int) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TextError(f'{path}, line {_line_number(path, place)}: no {{"text": ...}} there', _HINT) from error
    if not isinstance(text, str):
        raise TextError(f"{path}, line {_line_number(path, place)}: `text` is no string", _HINT)
    return text


def _line_number(path: Path, place: int) -> int:
    with open(path, "rb") as file:
        number, left = 1, place
        while left and (data := file.read(min(left, 1 << 20))):
            number, left = number + data.count(b"\n"), left - len(data)
    return number


def _batches_of(path: Path, ends: Sequence[int], source: int) -> list[Stretch]:
    """The stretch of each batch; of a file that a person changed since, all of it."""
    if _size(path) != ends[-1]:
        ends = [_size(path)]
    starts = [0, *ends[:-1]]
    return [
        Stretch(path, start, end, f"{source}-{batch}")
        for batch, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}", "cellmindctl data prepare") from error


def _without_last(stretches: Sequence[Stretch]) -> tuple[list[Stretch], list[Stretch]]:
    """The stretches of whole files without the last twentieth of their documents, and those."""
    places = [_line_starts(one) for one in stretches]
    documents = sum(map(len, places))
    if documents < 2:
        raise TextError(f"{documents} document is too little to train on", "give more text")
    left = documents - max(1, round(documents * HELD_OUT_SHARE))
    kept, last = [], []
    for stretch, starts in zip(stretches, places, strict=True):
        cut = int(starts[left]) if 0 <= left < len(starts) else stretch.stop if left > 0 else 0
        left -= len(starts)
        kept.append(replace(stretch, stop=cut))
        last.append(replace(stretch, start=cut))
    return [one for one in kept if one.size], [one for one in last if one.size]


def _line_starts(stretch: Stretch) -> npt.NDArray[np.int64]:
    """Where its documents begin."""
    starts, place = [], 0
    with open(stretch.path, "rb") as file:
        for line in file:
            if not line.isspace():
                starts.append(place)
            place += len(line)
    return np.array(starts, dtype=np.int64)
