"""A file as byte ranges that each begin at a record: what one process hands to another, instead of the text. None is
longer than memory bears, whatever the file holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

RANGE_BYTES: Final = 2 << 20
_LONGEST: Final = 16 << 20  # a record that is longer is cut
_FIRST_LOOK: Final = 1 << 16
_RECORD_HEAD: Final = 4096  # bytes from which a record is known
_NO_LETTER: Final = re.compile(rb"[\x00-\x40]")  # in UTF-8 and CP949 never a part of another character


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of a file in a known encoding, one in which a line feed is a byte of its own (UTF-8, CP949)."""

    path: Path
    start: int
    end: int
    encoding: str

    def read(self) -> bytes:
        """Raises OSError."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            return file.read(self.end - self.start)

    def text(self, data: bytes) -> str:
        """What was read, with line feeds alone; what cannot be decoded is U+FFFD, which the cleaning counts."""
        text = data.decode(self.encoding, "replace")
        return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a range may begin: where `\\n` and the line match `record`; at a line outside quotes; behind a blank line,
    where one is near; without any of these at every line."""

    record: re.Pattern[str] | None = None
    has_quotes: bool = False
    prefers_blank: bool = False


def ranges(path: Path, start: int, encoding: str, cut: Cut) -> Iterator[Range]:
    """The file from `start` to its end. Raises OSError."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        while start < size:
            end = _end(file, start, size, cut, encoding)
            yield Range(path, start, end, encoding)
            start = end


def _end(file: BinaryIO, start: int, size: int, cut: Cut, encoding: str) -> int:
    """The first good place after RANGE_BYTES. Where there is none for long, the first line's beginning; where there is
    no line either, a place between two characters."""
    look = _FIRST_LOOK
    while start + RANGE_BYTES + look < size:
        file.seek(start)
        data = file.read(RANGE_BYTES + look)
        good = _good_place(data, cut, encoding)
        if good:
            return start + good
        first_line = data.find(b"\n", RANGE_BYTES) + 1
        if first_line and (look >= _LONGEST or cut.prefers_blank):
            return start + first_line
        if look >= _LONGEST:
            safe = _NO_LETTER.search(data, RANGE_BYTES)
            return start + (safe.end() if safe else len(data))
        look *= 4
    return size


def _good_place(data: bytes, cut: Cut, encoding: str) -> int:
    """Where a record begins, RANGE_BYTES from the start at least; 0: nowhere."""
    before, is_quoted = 0, False
    while (place := data.find(b"\n", max(before, RANGE_BYTES)) + 1) > 0:
        is_quoted ^= cut.has_quotes and data.count(b'"', before, place) % 2 == 1
        if not is_quoted and _is_good(data, place, cut, encoding):
            return place
        before = place
    return 0


def _is_good(data: bytes, place: int, cut: Cut, encoding: str) -> bool:
    if cut.record:
        line = data[place : place + _RECORD_HEAD].decode(encoding, "replace").replace("\r\n", "\n")
        return cut.record.match(f"\n{line}") is not None
    return not cut.prefers_blank or data.endswith((b"\n\n", b"\r\n\r\n"), 0, place)
