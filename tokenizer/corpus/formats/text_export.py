"""Exports that are lines of text: how any of them is parsed, given its patterns. Pure.

A record begins with a line break and a timestamp and ends where the next one begins, so messages of several lines need
no rule. All patterns begin with `\\n`, which `re` finds fastest, and one `split` parses a whole block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tokenizer.corpus.formats.times import is_day_first, read_clock, read_day
from tokenizer.corpus.messages import NO_TIME, SYSTEM, Messages


@dataclass(frozen=True, slots=True, kw_only=True)
class TextExport:
    """The patterns of one format.

    `record` has the groups `clock`, `user` (None for a system line) and, in formats without `day_line`, `day`.
    `title` matches the beginning of a file. `noise` matches whole lines to ignore. `system` finds lines that the
    messenger wrote inside the text: pairs of a substring to search for and a pattern for the whole line.
    `normalize` repairs the text of a message. In formats with `has_ambiguous_days` a day may be 8/14/25 or 14/8/25, and
    the whole file decides.
    """

    name: str
    record: re.Pattern[str]
    title: re.Pattern[str] | None = None
    day_line: re.Pattern[str] | None = None
    noise: re.Pattern[str] | None = None
    system: tuple[tuple[str, re.Pattern[str]], ...] = ()
    normalize: Callable[[str], str] | None = None
    has_ambiguous_days: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockContext:
    """What the parser of a block must know about the file before it: the last day line, and the order of dates."""

    day: str = ""
    is_day_first: bool = False


@dataclass(slots=True, kw_only=True)
class BlockScan:
    """What the first pass finds in a block: its users, its dates and clock times as written, and its last day line."""

    users: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    clocks: set[str] = field(default_factory=set)
    last_day: str | None = None


def scan_lines(form: TextExport, block: str) -> BlockScan:
    """The users and days of a block."""
    block = f"\n{block}"
    scan = BlockScan()
    place = form.record.groupindex
    columns = list(zip(*form.record.findall(block), strict=True))
    if columns:
        scan.users = set(columns[place["user"] - 1])
        if "day" in place and form.has_ambiguous_days:
            scan.days = set(columns[place["day"] - 1])
            scan.clocks = set(columns[place["clock"] - 1])
    if form.day_line:
        days = form.day_line.findall(block)
        scan.last_day = days[-1] if days else None
    scan.users.discard("")
    return scan


def has_day_first(scans: Sequence[BlockScan]) -> bool:
    """Whether the dates of a file are day/month: the answer that fits the dates of all its blocks."""
    days = {day for scan in scans for day in scan.days}
    clocks = {clock for scan in scans for clock in scan.clocks}
    return is_day_first(days, clocks)


def parse_lines(form: TextExport, block: str, context: BlockContext) -> Messages:
    """Every message of a block. The block begins at a record, or at the beginning of the file."""
    messages = Messages()
    block = f"\n{block}"
    if form.noise:
        block = form.noise.sub("", block)
    for part, whole in form.system:
        if part in block:
            block = _without_system_lines(block, part, whole, messages)
    if form.day_line is None:
        _parse_day(form, block, "", context, messages)
        return messages
    parts = form.day_line.split(block)
    _parse_day(form, parts[0], context.day, context, messages)
    for day, text in zip(parts[1::2], parts[2::2], strict=True):
        _parse_day(form, text, day, context, messages)
    return messages


def _parse_day(form: TextExport, block: str, day: str, context: BlockContext, messages: Messages) -> None:
    """Append the messages of a text that has no day line."""
    # `split` gives the text before the first record, then the groups and the text of each record.
    stride, place = form.record.groups + 1, form.record.groupindex
    parts = form.record.split(block)
    texts = parts[stride::stride]
    if not texts:
        return
    clocks = [read_clock(clock) for clock in parts[place["clock"] :: stride]]
    if "day" in place:
        days = [read_day(text, context.is_day_first) for text in parts[place["day"] :: stride]]
        times = [d + c if d >= 0 and c >= 0 else NO_TIME for d, c in zip(days, clocks, strict=True)]
    else:
        midnight = read_day(day, context.is_day_first) if day else NO_TIME
        times = [midnight + c if midnight >= 0 and c >= 0 else NO_TIME for c in clocks]
    users = parts[place["user"] :: stride]
    if form.normalize:
        texts = [form.normalize(text) for text in texts]
    # A record without a user is a line of the messenger.
    if None in users or "" in users:
        kept = [i for i, user in enumerate(users) if user]
        messages.skipped[SYSTEM] += sum(1 for i, user in enumerate(users) if not user and texts[i].strip())
        times, users, texts = [times[i] for i in kept], [users[i] for i in kept], [texts[i] for i in kept]
    messages.times += times
    messages.users += users
    messages.texts += texts


def _without_system_lines(block: str, part: str, whole: re.Pattern[str], messages: Messages) -> str:
    """The block without the lines that contain `part` and match `whole`. Counts them in `messages.skipped`."""
    kept, start, at = [], 0, block.find(part)
    while at >= 0:
        begin = block.rfind("\n", 0, at)
        end = block.find("\n", at)
        end = len(block) if end < 0 else end
        if whole.fullmatch(block, begin + 1, end):
            kept.append(block[start:begin])
            messages.skipped[SYSTEM] += 1
            start = end
        at = block.find(part, max(end, at + 1))
    kept.append(block[start:])
    return "".join(kept)
