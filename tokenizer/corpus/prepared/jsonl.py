"""Reads documents from JSON lines, each an object with a `text`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tokenizer.byte_ranges import ByteRange, unreadable
from tokenizer.errors import TextError

_HINT: Final = 'each line is an object such as {"text": "안녕"}'


def read_documents(path: Path, start: int = 0, stop: int | None = None) -> Iterator[str]:
    """Yield the texts of the lines between two offsets, each of which is the beginning of a line. Raises TextError."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            size = None if stop is None else stop - start
            yield from parse_documents(_lines_within(file, size), path, start)
    except OSError as error:
        raise unreadable(path, error) from error


def read_ranges(ranges: Iterable[ByteRange]) -> Iterator[str]:
    """Yield the texts of all lines in these ranges. Raises TextError."""
    for part in ranges:
        yield from read_documents(part.path, part.start, part.stop)


def parse_documents(lines: Iterable[bytes], path: Path, offset: int) -> Iterator[str]:
    """Yield the texts of lines of JSON. The first line begins at `offset` of the file, which errors need.

    Raises TextError that names the line.
    """
    for line in lines:
        if not line.isspace():
            yield _parse_document(line, path, offset)
        offset += len(line)


def _lines_within(lines: Iterable[bytes], size: int | None) -> Iterator[bytes]:
    """The lines that begin within the first `size` bytes."""
    read = 0
    for line in lines:
        if size is not None and read >= size:
            return
        yield line
        read += len(line)


def _parse_document(line: bytes, path: Path, offset: int) -> str:
    try:
        text = json.loads(line)["text"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TextError(
            '{path}, line {line_number}: no {"text": ...} there',
            _HINT,
            path=path,
            line_number=_line_number(path, offset),
        ) from error
    if not isinstance(text, str):
        raise TextError(
            "{path}, line {line_number}: `text` is not a string",
            _HINT,
            path=path,
            line_number=_line_number(path, offset),
        )
    return text


def _line_number(path: Path, offset: int) -> int:
    # Counted only for an error: ranges are read by offset, without knowing how many lines come before.
    with open(path, "rb") as file:
        number, left = 1, offset
        while left and (data := file.read(min(left, 1 << 20))):
            number, left = number + data.count(b"\n"), left - len(data)
    return number
