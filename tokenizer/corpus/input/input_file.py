"""One input file: detects its encoding and format, and yields its blocks, once for each pass."""

from __future__ import annotations

import codecs
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final

from tokenizer.byte_ranges import ByteRange
from tokenizer.corpus.formats.detection import CSV, JSON_EXPORTS, JSON_LINES, DetectedFormat, detect_format
from tokenizer.corpus.formats.json_export import read_records
from tokenizer.corpus.formats.table import TableLayout
from tokenizer.corpus.formats.text_export import BlockContext, BlockScan, has_day_first
from tokenizer.corpus.input.blocks import BROKEN_OFF, Block, cut_rule
from tokenizer.corpus.input.cutting import cut_file
from tokenizer.corpus.input.encodings import detect_encoding
from tokenizer.corpus.input.sources import Source, open_text
from tokenizer.corpus.messages import Messages
from tokenizer.errors import TextError

_RECORDS_PER_BLOCK: Final = 20_000
_CHARACTERS_PER_COPY: Final = 1 << 20
_LONE_RETURN: Final = re.compile(rb"\r(?!\n|\Z)")
# A damaged member of a zip raises any of these.
_READ_ERRORS: Final = (OSError, EOFError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(slots=True, kw_only=True)
class InputFile:
    """A file with its format and encoding: `open` it, set `scans` from a first pass over `blocks`, then parse `blocks`.

    `number` is the file's number among all. `names` are people whom a JSON export names besides the authors; they are
    known after a pass. `skipped` counts what reading skipped, by reason. `ranges` are set by `open`.
    """

    source: Source
    number: int
    detected: DetectedFormat
    encoding: str
    is_directly_readable: bool = True
    scans: list[BlockScan] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    ranges: list[ByteRange] = field(default_factory=list)
    _range_encoding: str = field(default="utf-8", init=False)
    _json_copy: Path | None = field(default=None, init=False)

    def open(self, folder: Path) -> None:
        """Find the places where the file may be cut into blocks.

        A member of a zip, a file in UTF-16 or with unusual line ends, and a JSON document that is not plain UTF-8 are
        first copied to `folder` as UTF-8. Raises OSError if the copy cannot be written.
        """
        copy = folder / f"source-{self.number}"
        if self.detected.name in JSON_EXPORTS:
            if self.encoding != "utf-8":  # ijson reads nothing else, and refuses a byte order mark
                self._copy(copy)
                self._json_copy = copy
            return
        path, self._range_encoding = self.source.path, self.encoding.removesuffix("-sig")
        if path is None or not self.is_directly_readable:
            path, self._range_encoding = copy, "utf-8"
            self._copy(path)
        try:
            with open(path, "rb") as file:
                if file.read(3) != codecs.BOM_UTF8:
                    file.seek(0)
                if self.detected.header:  # it is no record
                    file.readline()
                start = file.tell()
            self.ranges = list(cut_file(path, start, self._range_encoding, cut_rule(self.detected.name)))
        except OSError:
            self.skipped[BROKEN_OFF] += 1

    def blocks(self) -> Iterator[Block]:
        """Yield the file's blocks in order. Counts it as skipped if a JSON document breaks off."""
        if self.detected.name in JSON_EXPORTS:
            yield from self._json_blocks()
            return
        table = None
        if self.detected.columns and self.detected.name in (CSV, JSON_LINES):
            table = TableLayout(
                columns=self.detected.columns, header=self.detected.header, delimiter=self.detected.delimiter
            )
        contexts = self._contexts()
        for part in self.ranges:
            yield Block(
                format=self.detected.name,
                source=self.number,
                range=part,
                encoding=self._range_encoding,
                context=next(contexts, BlockContext()),
                table=table,
            )

    def _copy(self, path: Path) -> None:
        with open_text(self.source, self.encoding) as stream, open(path, "w", encoding="utf-8", newline="\n") as copy:
            while True:
                try:
                    text = stream.read(_CHARACTERS_PER_COPY)
                except _READ_ERRORS:
                    self.skipped[BROKEN_OFF] += 1
                    return
                if not text:
                    return
                copy.write(text)

    def _contexts(self) -> Iterator[BlockContext]:
        """The context of each block, from the scans of the blocks before it; the order of dates from all scans."""
        context = BlockContext(is_day_first=has_day_first(self.scans))
        for scan in self.scans:
            yield context
            if scan.last_day is not None:
                context = replace(context, day=scan.last_day)

    def _open_json(self) -> BinaryIO:
        return open(self._json_copy, "rb") if self._json_copy else self.source.open()

    def _json_blocks(self) -> Iterator[Block]:
        # Only one process can read a JSON document, so it parses the messages, and workers clean them.
        form, messages = JSON_EXPORTS[self.detected.name], Messages()
        self.skipped.clear()  # each pass reads the whole document, and only one may count

        def count_skipped(reason: str, count: int = 1) -> None:
            self.skipped[reason] += count

        try:
            for record in read_records(form, self._open_json, count_skipped):
                messages.add(record.time, record.user, record.text)
                self.names |= record.names
                if len(messages) == _RECORDS_PER_BLOCK:
                    yield Block(format=self.detected.name, source=self.number, messages=messages)
                    messages = Messages()
        except _READ_ERRORS:
            self.skipped[BROKEN_OFF] += 1
        if len(messages):
            yield Block(format=self.detected.name, source=self.number, messages=messages)


def detect_file(source: Source, number: int = 0, columns: Mapping[str, str] | None = None) -> InputFile:
    """The file with its encoding and format. `columns` maps time, user and text to columns that the user named.

    Raises TextError for a file that is unreadable, empty, binary, in an unknown encoding or of an unknown format.
    """
    try:
        sample = source.sample()
    except _READ_ERRORS as error:
        raise TextError(
            "{source} cannot be read: {error}", "export it again", source=source.name, error=error
        ) from error
    if not sample.strip():
        raise TextError("{source} is empty", "export the chat again", source=source.name)
    encoding = detect_encoding(sample)
    if encoding is None:
        hint = "give a chat export, CSV, JSONL or text file"
        if b"\0" in sample:
            raise TextError("{source} is not text but binary", hint, source=source.name)
        raise TextError("{source} is in no encoding known here (UTF-8, UTF-16, CP949)", hint, source=source.name)
    text = sample.decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")
    return InputFile(
        source=source,
        number=number,
        detected=detect_format(text, source.name, columns),
        encoding=encoding,
        is_directly_readable="16" not in encoding and not _LONE_RETURN.search(sample),
    )
