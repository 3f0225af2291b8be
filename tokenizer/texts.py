"""The texts of files as they are: prepared JSONL, plain text a line at a time, anything else a message at a time."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizer.clean.blocks import look, parse_block
from tokenizer.clean.reading import recognise_file
from tokenizer.clean.recognise import PLAIN
from tokenizer.clean.sources import find_sources, open_text
from tokenizer.collection import HELD_OUT, TRAIN
from tokenizer.errors import TextError
from tokenizer.stats import STATS

_HINT: Final = 'each line is an object such as {"text": "안녕"}'


@dataclass(frozen=True, slots=True)
class Sides:
    """Prepared documents: to train on, and held out (None: nothing was)."""

    train: tuple[Path, ...]
    held_out: tuple[Path, ...] | None


def is_prepared(path: Path) -> bool:
    """Is it what `data prepare` writes, a folder or its JSONL, to be taken as it is?"""
    return (path / STATS).exists() if path.is_dir() else path.suffix.lower() == ".jsonl"


def prepared_sides(paths: Sequence[Path]) -> Sides:
    """The files of prepared folders, or JSONL files, with what was held out beside them."""
    train, held_out = [], []
    for path in paths:
        folder = path if path.is_dir() else path.parent
        train.append(folder / TRAIN if path.is_dir() else path)
        if (path.is_dir() or path.name == TRAIN) and (folder / STATS).exists():
            held_out.append(folder / HELD_OUT)
    return Sides(tuple(train), tuple(held_out) if len(held_out) == len(train) else None)


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Raises TextError."""
    for path in paths:
        if is_prepared(path):
            yield from read_documents(path)
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
    number, place = 0, start
    try:
        with open(path, "rb") as file:
            file.seek(start)
            for line in file:
                if stop is not None and place >= stop:
                    return
                number, place = number + 1, place + len(line)
                if not line.isspace():
                    yield _text_of(line, path, number)
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}", "cellmindctl data prepare") from error


def _text_of(line: bytes, path: Path, number: int) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TextError(f'{path}, line {number}: no {{"text": ...}} there', _HINT) from error
    if not isinstance(text, str):
        raise TextError(f"{path}, line {number}: `text` is no string", _HINT)
    return text
