"""A block is some whole records of one file, and the unit of parallel work: how to scan it and how to parse it.

A block begins at a record, so it can be parsed alone. A first pass over all blocks finds what a block must know of the
blocks before it (the day), and everybody's name. Pure but for reading the byte range.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tokenizer.byte_ranges import ByteRange
from tokenizer.corpus.formats.detection import CSV, PLAIN, TEXT_EXPORTS
from tokenizer.corpus.formats.kakaotalk_csv import (
    KAKAOTALK_CSV,
    ROW_BEGINNING,
    kakaotalk_csv_users,
    parse_kakaotalk_csv,
)
from tokenizer.corpus.formats.plain import parse_plain
from tokenizer.corpus.formats.table import TableLayout, parse_json_lines, parse_table, table_users
from tokenizer.corpus.formats.text_export import BlockContext, BlockScan, parse_lines, scan_lines
from tokenizer.corpus.input.cutting import CutRule
from tokenizer.corpus.messages import Messages
from tokenizer.errors import TextError

BROKEN_OFF: Final = "files that break off"  # a reason in `skipped`


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some records of one file: a byte range to parse, or the messages of a JSON document, which are parsed already.

    `format` is the name of a DetectedFormat, `source` the number of the file. `context` is for text exports, `table`
    for tables.
    """

    format: str
    source: int = 0
    range: ByteRange | None = None
    encoding: str = "utf-8"
    messages: Messages | None = None
    context: BlockContext = field(default_factory=BlockContext)
    table: TableLayout | None = None


def cut_rule(format_name: str) -> CutRule:
    """Where a file of this format may be cut into ranges."""
    form = TEXT_EXPORTS.get(format_name)
    if form:
        return CutRule(record=form.record)
    if format_name == KAKAOTALK_CSV:
        return CutRule(record=ROW_BEGINNING)
    return CutRule(has_quotes=format_name == CSV, prefers_blank=format_name == PLAIN)


def scan_block(block: Block) -> BlockScan:
    """The first pass: who writes, and on which days."""
    if block.messages is not None:
        return BlockScan(users=set(block.messages.users) - {""})
    if block.format == PLAIN:
        return BlockScan()
    if block.format == KAKAOTALK_CSV:
        return BlockScan(users=kakaotalk_csv_users(_read(block, Counter()), block.encoding))
    text = _decode(_read(block, Counter()), block.encoding)
    form = TEXT_EXPORTS.get(block.format)
    if form:
        return scan_lines(form, text)
    assert block.table
    if block.format == CSV:
        return BlockScan(users=table_users(text, block.table))
    return BlockScan(users=set(parse_json_lines(text, block.table).users) - {""})


def parse_block(block: Block) -> Messages:
    """The second pass: all messages of the block. Counts a file that cannot be read any more as skipped."""
    if block.messages is not None:
        return block.messages
    skipped: Counter[str] = Counter()
    messages = _parse(block, _decode(_read(block, skipped), block.encoding))
    messages.skipped += skipped
    return messages


def _parse(block: Block, text: str) -> Messages:
    form = TEXT_EXPORTS.get(block.format)
    if form:
        return parse_lines(form, text, block.context)
    if block.format == KAKAOTALK_CSV:
        return parse_kakaotalk_csv(text)
    if block.format == PLAIN:
        return parse_plain(text)
    assert block.table
    return parse_table(text, block.table) if block.format == CSV else parse_json_lines(text, block.table)


def _read(block: Block, skipped: Counter[str]) -> bytes:
    assert block.range
    try:
        return block.range.read()
    except TextError:
        skipped[BROKEN_OFF] += 1
        return b""


def _decode(data: bytes, encoding: str) -> str:
    """The text with `\\n` line ends. U+FFFD replaces undecodable bytes; the cleaning counts these."""
    text = data.decode(encoding, "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
