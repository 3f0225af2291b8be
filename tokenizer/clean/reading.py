"""One file: recognised, and read as blocks, as often as is wanted."""

from __future__ import annotations

import codecs
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from tokenizer.clean.blocks import BROKEN_OFF, Block, cut_of
from tokenizer.clean.formats.lines import LineScan, LineState, order_of
from tokenizer.clean.formats.records import records
from tokenizer.clean.formats.table import TableState
from tokenizer.clean.messages import Messages
from tokenizer.clean.ranges import Range, ranges
from tokenizer.clean.recognise import CSV, JSON_FORMATS, JSON_LINES, Recognised, recognise
from tokenizer.clean.sources import Source, detect_encoding, open_text
from tokenizer.errors import TextError

_RECORDS_A_BLOCK: Final = 20_000
_COPIED_AT_ONCE: Final = 1 << 20  # characters
_LONE_RETURN: Final = re.compile(rb"\r(?!\n|\Z)")
_UNREADABLE: Final = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(slots=True, kw_only=True)
class InputFile:
    """`scans` is what a first pass found in each block, once there was one; `names` are people whom a JSON export names
    beside the authors; `skipped` counts what reading left out, by reason. `number` says which of the files it is."""

    source: Source
    number: int
    found: Recognised
    encoding: str
    scans: list[LineScan] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    has_plain_bytes: bool = True
    ranges: list[Range] = field(default_factory=list)

    def open(self, folder: Path) -> None:
        """Find the places where the file may be cut. What is packed, or in UTF-16, or has line ends of a kind of its
        own, is written to the folder as UTF-8 first. Raises OSError when that cannot be written."""
        if self.found.format in JSON_FORMATS:
            return
        path, encoding = self.source.path, self.encoding.removesuffix("-sig")
        if path is None or not self.has_plain_bytes:
            path, encoding = folder / f"source-{self.number}", "utf-8"
            self._copy(path)
        try:
            with open(path, "rb") as file:
                if file.read(3) != codecs.BOM_UTF8:
                    file.seek(0)
                if self.found.header:
                    file.readline()
                start = file.tell()
            self.ranges = list(ranges(path, start, encoding, cut_of(self.found.format)))
        except OSError:
            self.skipped[BROKEN_OFF] += 1

    def blocks(self) -> Iterator[Block]:
        """That the file breaks off is counted."""
        if self.found.format in JSON_FORMATS:
            yield from self._record_blocks()
            return
        table = None
        if self.found.columns and self.found.format in (CSV, JSON_LINES):
            table = TableState(columns=self.found.columns, header=self.found.header, delimiter=self.found.delimiter)
        states = self._states()
        for part in self.ranges:
            lines = next(states, LineState())
            yield Block(format=self.found.format, source=self.number, range=part, lines=lines, table=table)

    def _copy(self, path: Path) -> None:
        with open_text(self.source, self.encoding) as stream, open(path, "w", encoding="utf-8", newline="\n") as copy:
            while True:
                try:
                    text = stream.read(_COPIED_AT_ONCE)
                except _UNREADABLE:  # a zip's member whose checksum is wrong, a disk that fails
                    self.skipped[BROKEN_OFF] += 1
                    return
                if not text:
                    return
                copy.write(text)

    def _states(self) -> Iterator[LineState]:
        """What each block must know: the day before it, and the order of day and month in the whole file."""
        state = LineState(is_day_first=order_of(self.scans))
        for found in self.scans:
            yield state
            if found.last_day is not None:
                state = replace(state, day=found.last_day)

    def _record_blocks(self) -> Iterator[Block]:
        """Messages of a JSON document: parsed here, cleaned elsewhere."""
        form, messages = JSON_FORMATS[self.found.format], Messages()
        self.skipped.clear()

        def skip(reason: str, count: int = 1) -> None:
            self.skipped[reason] += count

        for record in records(form, self.source.open, skip):
            messages.add(record.time, record.user, record.text)
            self.names |= record.names
            if len(messages) == _RECORDS_A_BLOCK:
                yield Block(format=self.found.format, source=self.number, messages=messages)
                messages = Messages()
        if len(messages):
            yield Block(format=self.found.format, source=self.number, messages=messages)


def recognise_file(source: Source, number: int = 0, columns: Mapping[str, str] | None = None) -> InputFile:
    """Raises TextError: unreadable, empty, binary, in no known encoding, or of no known kind."""
    try:
        sample = source.sample()
    except _UNREADABLE as error:  # a zip's member is damaged in many ways
        raise TextError(f"{source.name} cannot be read: {error}", "export it again") from error
    if not sample.strip():
        raise TextError(f"{source.name} is empty", "export the chat again")
    encoding = detect_encoding(sample)
    if encoding is None:
        is_binary = b"\0" in sample
        what = "is not text but binary" if is_binary else "is text in no encoding known here (UTF-8, UTF-16, CP949)"
        raise TextError(f"{source.name} {what}", "give a chat export, CSV, JSONL or text file")
    text = sample.decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")
    return InputFile(
        source=source,
        number=number,
        found=recognise(text, source.name, columns),
        encoding=encoding,
        has_plain_bytes="16" not in encoding and not _LONE_RETURN.search(sample),
    )
