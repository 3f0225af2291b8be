"""One file: recognised, and read as blocks, as often as is wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tokenizer.clean.blocks import Block, text_blocks
from tokenizer.clean.formats.lines import LineScan, LineState, order_of
from tokenizer.clean.formats.records import records
from tokenizer.clean.formats.table import TableState
from tokenizer.clean.messages import Messages
from tokenizer.clean.recognise import CSV, JSON_FORMATS, JSON_LINES, Recognised, recognise
from tokenizer.clean.sources import Source, detect_encoding, open_text
from tokenizer.errors import TextError

_RECORDS_A_BLOCK: Final = 20_000


@dataclass(slots=True, kw_only=True)
class InputFile:
    """`scans` is what a first pass found in each block, once there was one; `names` are people whom a JSON export names
    beside the authors; `skipped` counts what reading left out, by reason."""

    source: Source
    found: Recognised
    encoding: str
    scans: list[LineScan] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)

    def blocks(self) -> Iterator[Block]:
        """Raises TextError when the file cannot be read at all; that it breaks off is counted."""
        self.skipped.clear()
        if self.found.format in JSON_FORMATS:
            yield from self._record_blocks()
            return
        table = None
        if self.found.columns and self.found.format in (CSV, JSON_LINES):
            table = TableState(columns=self.found.columns, header=self.found.header, delimiter=self.found.delimiter)
        states = self._states()
        try:
            with open_text(self.source, self.encoding) as stream:
                if self.found.header:
                    stream.readline()
                for text in text_blocks(stream, self.found):
                    yield Block(format=self.found.format, text=text, lines=next(states, LineState()), table=table)
        except (OSError, EOFError):  # a zip's member whose checksum is wrong, a disk that fails
            self.skipped["files that break off"] += 1

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

        def skip(reason: str, count: int = 1) -> None:
            self.skipped[reason] += count

        for record in records(form, self.source.open, skip):
            messages.add(record.time, record.user, record.text)
            self.names |= record.names
            if len(messages) == _RECORDS_A_BLOCK:
                yield Block(format=self.found.format, messages=messages)
                messages = Messages()
        if len(messages):
            yield Block(format=self.found.format, messages=messages)


def recognise_file(source: Source, columns: Mapping[str, str] | None = None) -> InputFile:
    """Raises TextError: unreadable, empty, binary, in no known encoding, or of no known kind."""
    try:
        sample = source.sample()
    except (OSError, ValueError, NotImplementedError, EOFError) as error:  # a zip's member is damaged in many ways
        raise TextError(f"{source.name} cannot be read: {error}", "export it again") from error
    if not sample.strip():
        raise TextError(f"{source.name} is empty", "export the chat again")
    encoding = detect_encoding(sample)
    if encoding is None:
        is_binary = b"\0" in sample
        what = "is not text but binary" if is_binary else "is text in no encoding known here (UTF-8, UTF-16, CP949)"
        raise TextError(f"{source.name} {what}", "give a chat export, CSV, JSONL or text file")
    text = sample.decode(encoding, "ignore").replace("\r\n", "\n").replace("\r", "\n")
    return InputFile(source=source, found=recognise(text, source.name, columns), encoding=encoding)
