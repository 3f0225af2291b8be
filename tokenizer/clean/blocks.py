"""A file as blocks of whole records, and what is done with one block: the unit of parallel work. Pure but for reading.

A block is cut before a record, so each can be parsed alone; what it must know of the blocks before it (the day) is
found in a first pass, which also finds everybody's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TextIO

from tokenizer.clean.conversations import Document, group, join
from tokenizer.clean.duplicates import Hashes, near_hashes
from tokenizer.clean.formats.lines import LineScan, LineState, parse, scan
from tokenizer.clean.formats.plain import parse_plain
from tokenizer.clean.formats.table import (
    MAC_NAME,
    MAC_ROW,
    TableState,
    mac_users,
    parse_json_lines,
    parse_mac,
    parse_table,
)
from tokenizer.clean.messages import Messages
from tokenizer.clean.names import keep_names, name_hider
from tokenizer.clean.private import PRIVATE
from tokenizer.clean.recognise import CSV, JSON_LINES, LINE_FORMATS, PLAIN, Recognised
from tokenizer.clean.rules import NAME, Hider, clean_all

BLOCK_CHARACTERS: Final = 1 << 20
_LONGEST_BLOCK: Final = 1 << 23  # a record that is longer is cut
_QUOTES_TRIED: Final = 500
_SAMPLES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person chose. `names` None: names stay as they are."""

    names: frozenset[str] | None
    gap_seconds: int
    has_turns: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some records of one file: text to parse, or messages that were parsed while reading (JSON)."""

    format: str
    text: str = ""
    messages: Messages | None = None
    lines: LineState = field(default_factory=LineState)
    table: TableState | None = None


@dataclass(slots=True, kw_only=True)
class Cleaned:
    """A block's documents. The first and the last conversation may belong to the neighbours': they come as messages
    (`last` is None where there is only one)."""

    first: Messages | None = None
    last: Messages | None = None
    documents: list[Document] = field(default_factory=list)
    near: Hashes | None = None
    messages: int = 0
    empty: int = 0
    replaced: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)


def text_blocks(file: TextIO, found: Recognised) -> Iterator[str]:
    """The file in pieces that begin at a record."""
    cut = _cutter(found)
    buffer = ""
    while True:
        read = file.read(BLOCK_CHARACTERS)
        buffer += read
        if not read:
            if buffer:
                yield buffer
            return
        place = cut(buffer)
        if place <= 0 and len(buffer) >= _LONGEST_BLOCK:
            place = buffer.rfind("\n") + 1 or len(buffer)
        if place > 0:
            yield buffer[:place]
            buffer = buffer[place:]


def look(block: Block) -> LineScan:
    """The first pass: who speaks, and on which days."""
    form = LINE_FORMATS.get(block.format)
    if form:
        return scan(form, block.text)
    if block.format == MAC_NAME:
        return LineScan(users=mac_users(block.text))
    messages = parse_block(block)
    return LineScan(users={user for user in messages.users if user}, records=len(messages))


def parse_block(block: Block) -> Messages:
    if block.messages is not None:
        return block.messages
    form = LINE_FORMATS.get(block.format)
    if form:
        return parse(form, block.text, block.lines)
    if block.format == MAC_NAME:
        return parse_mac(block.text)
    if block.format == PLAIN:
        return parse_plain(block.text)
    assert block.table
    return parse_table(block.text, block.table) if block.format == CSV else parse_json_lines(block.text, block.table)


def clean_block(block: Block, settings: Settings) -> Cleaned:
    """The second pass: messages to clean documents."""
    messages = parse_block(block)
    cleaned = Cleaned(messages=len(messages), skipped=messages.skipped)
    raw = messages.texts
    messages.texts = clean_all(raw, _hider(settings.names), cleaned.replaced, cleaned.skipped)
    cleaned.empty = messages.texts.count("")
    cleaned.samples = _samples(raw, messages.texts)
    stretches = list(group(messages, settings.gap_seconds))
    if stretches:
        cleaned.first = stretches[0]
    if len(stretches) > 1:
        cleaned.last = stretches[-1]
    inner = (join(stretch, settings.has_turns) for stretch in stretches[1:-1])
    cleaned.documents = [document for document in inner if document]
    cleaned.near = near_hashes([document.text for document in cleaned.documents])
    return cleaned


_hiders: dict[frozenset[str], Hider] = {}


def _hider(names: frozenset[str] | None) -> Hider:
    """Made once in each process: the pattern of some thousand names takes a while."""
    if names is None:
        return keep_names
    if names not in _hiders:
        _hiders.clear()
        _hiders[names] = name_hider(names)
    return _hiders[names]


def _samples(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """Messages that cleaning changed, none of them with anything private: that is never shown."""
    found = []
    for raw, text in zip(before[:2000], after[:2000], strict=True):
        is_private = NAME in text or any(placeholder in text for placeholder in PRIVATE)
        if text and not is_private and raw.strip() != text and raw.lower() != text and 8 <= len(raw) <= 80:
            found.append((raw.strip(), text))
            if len(found) == _SAMPLES:
                break
    return found


def _cutter(found: Recognised) -> Callable[[str], int]:
    """A function from a text that begins at a record to the place where its last record begins, or -1."""
    form = LINE_FORMATS.get(found.format)
    if form:
        return lambda text: _last_match(form.record, text)
    if found.format == MAC_NAME:
        return lambda text: _last_match(MAC_ROW, text)
    if found.format == CSV:
        return _last_even_line
    if found.format == JSON_LINES:
        return lambda text: text.rfind("\n") + 1
    return lambda text: text.rfind("\n\n") + 1 or text.rfind("\n") + 1


def _last_match(pattern: re.Pattern[str], text: str) -> int:
    """Where the last record begins. It is looked for near the end first."""
    for start in (max(0, len(text) - 65536), 0):
        last = max((match.start() for match in pattern.finditer(text, start)), default=-1)
        if last >= 0:
            return last + 1
    return -1


def _last_even_line(text: str) -> int:
    """The end of the last line before which quotes are balanced: line breaks inside quotes end no row."""
    end = len(text)
    for _ in range(_QUOTES_TRIED):
        end = text.rfind("\n", 0, end)
        if end < 0:
            return -1
        if text.count('"', 0, end) % 2 == 0:
            return end + 1
    return -1
