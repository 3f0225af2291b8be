"""Cuts a file into byte ranges that each begin at a record. The length of a range is bounded for any file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from tokenizer.byte_ranges import ByteRange

RANGE_BYTES: Final = 2 << 20
_MAX_RECORD_BYTES: Final = 16 << 20  # a longer record is split
_READ_AHEAD_BYTES: Final = 1 << 16
_RECORD_BEGINNING_BYTES: Final = 4096  # enough to recognise a record
_NO_LETTER: Final = re.compile(rb"[\x00-\x40]")  # in UTF-8 and CP949 these bytes are always whole characters


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRule:
    """Where a range may begin.

    With `record` at a line that matches it after a `\\n`. With `has_quotes` at a line outside quotes. With
    `prefers_blank` after a blank line, if there is one nearby. Otherwise at any line.
    """

    record: re.Pattern[str] | None = None
    has_quotes: bool = False
    prefers_blank: bool = False


def cut_file(path: Path, start: int, encoding: str, rule: CutRule) -> Iterator[ByteRange]:
    """Yield the ranges of the file from `start` to its end.

    `encoding` must be one in which a line feed is always one byte (UTF-8, CP949). Raises OSError.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        while start < size:
            stop = _find_stop(file, start, size, rule, encoding)
            yield ByteRange(path, start, stop)
            start = stop


def _find_stop(file: BinaryIO, start: int, size: int, rule: CutRule, encoding: str) -> int:
    """The first allowed place after RANGE_BYTES.

    If there is none for long, it is the beginning of a line, and in a text without lines a place between two
    characters.
    """
    ahead = _READ_AHEAD_BYTES
    while start + RANGE_BYTES + ahead < size:
        file.seek(start)
        data = file.read(RANGE_BYTES + ahead)
        allowed = _find_allowed(data, rule, encoding)
        if allowed:
            return start + allowed
        first_line = data.find(b"\n", RANGE_BYTES) + 1
        if first_line and (ahead >= _MAX_RECORD_BYTES or rule.prefers_blank):
            return start + first_line
        if ahead >= _MAX_RECORD_BYTES:
            found = _NO_LETTER.search(data, RANGE_BYTES)
            return start + (found.end() if found else len(data))
        ahead *= 4
    return size


def _find_allowed(data: bytes, rule: CutRule, encoding: str) -> int:
    """The first allowed offset at or after RANGE_BYTES; 0 if there is none."""
    before, is_quoted = 0, False
    while (place := data.find(b"\n", max(before, RANGE_BYTES)) + 1) > 0:
        # An odd number of quotes since the last line end opens or closes a cell.
        is_quoted ^= rule.has_quotes and data.count(b'"', before, place) % 2 == 1
        if not is_quoted and _is_allowed(data, place, rule, encoding):
            return place
        before = place
    return 0


def _is_allowed(data: bytes, place: int, rule: CutRule, encoding: str) -> bool:
    if rule.record:
        line = data[place : place + _RECORD_BEGINNING_BYTES].decode(encoding, "replace").replace("\r\n", "\n")
        return rule.record.match(f"\n{line}") is not None
    return not rule.prefers_blank or data.endswith((b"\n\n", b"\r\n\r\n"), 0, place)
