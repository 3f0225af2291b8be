"""A file as blocks of whole records, and what is done with one block: the unit of parallel work. Pure but for reading.

A block is cut before a record, so each can be parsed alone; what it must know of the blocks before it (the day) is
found in a first pass, which also finds everybody's name.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tokenizer.clean.conversations import group, join
from tokenizer.clean.documents import Packed, pack_documents
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
    table_users,
)
from tokenizer.clean.messages import Messages
from tokenizer.clean.names import keep_names, name_hider
from tokenizer.clean.private import PRIVATE
from tokenizer.clean.ranges import Cut, Range
from tokenizer.clean.recognise import CSV, LINE_FORMATS, PLAIN
from tokenizer.clean.rules import NAME, PLACEHOLDERS, Hider, clean_all

BROKEN_OFF: Final = "files that break off"
_LOOKED_AT: Final = 300  # messages of a block, for samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person chose. `names` None: names stay as they are."""

    names: frozenset[str] | None
    gap_seconds: int
    has_turns: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some records of one file: bytes to parse, or messages that were parsed while reading (JSON). `source` is the
    file's number."""

    format: str
    source: int = 0
    range: Range | None = None
    messages: Messages | None = None
    lines: LineState = field(default_factory=LineState)
    table: TableState | None = None


@dataclass(slots=True, kw_only=True)
class Cleaned:
    """A block's documents. The first and the last conversation may belong to the neighbours': they come as messages
    (`last` is None where there is only one)."""

    first: Messages | None = None
    last: Messages | None = None
    documents: Packed | None = None
    messages: int = 0
    empty: int = 0
    replaced: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)


def cut_of(format_name: str) -> Cut:
    """Where a file of this format may be cut into ranges."""
    form = LINE_FORMATS.get(format_name)
    if form or format_name == MAC_NAME:
        return Cut(record=form.record if form else MAC_ROW)
    return Cut(has_quotes=format_name == CSV, prefers_blank=format_name == PLAIN)


def look(block: Block) -> LineScan:
    """The first pass: who speaks, and on which days."""
    if block.messages is not None:
        return LineScan(users=set(block.messages.users) - {""})
    if block.format == PLAIN:
        return LineScan()
    if block.format == MAC_NAME and block.range:
        return LineScan(users=mac_users(_bytes(block.range, Counter()), block.range.encoding))
    text = _text(block, Counter())
    form = LINE_FORMATS.get(block.format)
    if form:
        return scan(form, text)
    assert block.table
    if block.format == CSV:
        return LineScan(users=table_users(text, block.table))
    return LineScan(users=set(parse_json_lines(text, block.table).users) - {""})


def parse_block(block: Block) -> Messages:
    if block.messages is not None:
        return block.messages
    skipped: Counter[str] = Counter()
    messages = _parse(block, _text(block, skipped))
    messages.skipped += skipped
    return messages


def _parse(block: Block, text: str) -> Messages:
    form = LINE_FORMATS.get(block.format)
    if form:
        return parse(form, text, block.lines)
    if block.format == MAC_NAME:
        return parse_mac(text)
    if block.format == PLAIN:
        return parse_plain(text)
    assert block.table
    return parse_table(text, block.table) if block.format == CSV else parse_json_lines(text, block.table)


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
        cleaned.documents = pack_documents([document for document in inner if document], block.source)
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
    """Messages that cleaning changed, each in another way; none of them with anything private: that is never shown."""
    found: dict[tuple[object, ...], tuple[str, str]] = {}
    for raw, text in zip(before[:_LOOKED_AT], after[:_LOOKED_AT], strict=True):
        raw = raw.strip()
        is_private = NAME in text or any(placeholder in text for placeholder in PRIVATE)
        if text and not is_private and raw != text and raw.lower() != text and 8 <= len(raw) <= 80:
            way = (*(placeholder in text for placeholder in PLACEHOLDERS), len(raw) - len(text) > 3)
            found.setdefault(way, (raw, text))
    return list(found.values())


def _text(block: Block, skipped: Counter[str]) -> str:
    return block.range.text(_bytes(block.range, skipped)) if block.range else ""


def _bytes(place: Range, skipped: Counter[str]) -> bytes:
    """What is there; that the file cannot be read any more is counted."""
    try:
        return place.read()
    except OSError:
        skipped[BROKEN_OFF] += 1
        return b""
