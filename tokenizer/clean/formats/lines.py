"""Exports that are lines of text: how any of them is read, given its patterns. Pure.

A record begins with a line break and a stamp, and lasts until the next one; so a message of several lines needs no
rule. Patterns begin with `\\n`, which `re` finds as fast as it can, and one `split` takes a whole block apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tokenizer.clean.messages import NO_TIME, SYSTEM, Messages
from tokenizer.clean.times import is_day_first, read_clock, read_day


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFormat:
    """`record` has the groups `clock`, `user` (None: a system line) and, unless days have `day_line`s, `day`.

    `title` matches the beginning of a file. `noise` are whole lines that are nobody's. `system` are the cores of lines
    that the messenger itself wrote into the text: (a part to look for, what the whole line matches). `tidy` mends a
    text.
    """

    name: str
    record: re.Pattern[str]
    title: re.Pattern[str] | None = None
    day_line: re.Pattern[str] | None = None
    noise: re.Pattern[str] | None = None
    system: tuple[tuple[str, re.Pattern[str]], ...] = ()
    tidy: Callable[[str], str] | None = None
    has_month_first: bool = False  # days may be 8/14/25: which order is found out from the whole file


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """What a block must know of the file before it: the day that the last day line said, and the order of dates."""

    day: str = ""
    is_day_first: bool = False


@dataclass(slots=True, kw_only=True)
class LineScan:
    """What a first look at a block finds."""

    users: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)
    clocks: set[str] = field(default_factory=set)
    last_day: str | None = None


def scan(form: LineFormat, block: str) -> LineScan:
    """Who speaks, and on which days, without the texts."""
    block = f"\n{block}"
    found = LineScan()
    place = form.record.groupindex
    columns = list(zip(*form.record.findall(block), strict=True))
    if columns:
        found.users = set(columns[place["user"] - 1])
        if "day" in place and form.has_month_first:
            found.days = set(columns[place["day"] - 1])
            found.clocks = set(columns[place["clock"] - 1])
    if form.day_line:
        days = form.day_line.findall(block)
        found.last_day = days[-1] if days else None
    found.users.discard("")
    return found


def order_of(scans: list[LineScan]) -> bool:
    days = {day for found in scans for day in found.days}
    clocks = {clock for found in scans for clock in found.clocks}
    return is_day_first(days, clocks)


def parse(form: LineFormat, block: str, state: LineState) -> Messages:
    """Every message of a block that begins at a record (or with what comes before the first one)."""
    messages = Messages()
    block = f"\n{block}"
    if form.noise:
        block = form.noise.sub("", block)
    for core, whole in form.system:
        if core in block:
            block = _without_lines(block, core, whole, messages)
    if form.day_line is None:
        _parse_day(form, block, "", state, messages)
        return messages
    parts = form.day_line.split(block)
    _parse_day(form, parts[0], state.day, state, messages)
    for day, part in zip(parts[1::2], parts[2::2], strict=True):
        _parse_day(form, part, day, state, messages)
    return messages


def _parse_day(form: LineFormat, block: str, day: str, state: LineState, messages: Messages) -> None:
    """A stretch in which day lines do not change the day."""
    stride, place = form.record.groups + 1, form.record.groupindex
    parts = form.record.split(block)
    texts = parts[stride::stride]
    if not texts:
        return
    clocks = [read_clock(clock) for clock in parts[place["clock"] :: stride]]
    if "day" in place:
        days = [read_day(text, state.is_day_first) for text in parts[place["day"] :: stride]]
        times = [d + c if d >= 0 and c >= 0 else NO_TIME for d, c in zip(days, clocks, strict=True)]
    else:
        midnight = read_day(day, state.is_day_first) if day else NO_TIME
        times = [midnight + c if midnight >= 0 and c >= 0 else NO_TIME for c in clocks]
    users = parts[place["user"] :: stride]
    if form.tidy:
        texts = [form.tidy(text) for text in texts]
    if None in users or "" in users:
        kept = [i for i, user in enumerate(users) if user]
        messages.skipped[SYSTEM] += sum(1 for i, user in enumerate(users) if not user and texts[i].strip())
        times, users, texts = [times[i] for i in kept], [users[i] for i in kept], [texts[i] for i in kept]
    messages.times += times
    messages.users += users
    messages.texts += texts


def _without_lines(block: str, core: str, whole: re.Pattern[str], messages: Messages) -> str:
    """The block without the lines that have `core` and match `whole`."""
    kept, start, at = [], 0, block.find(core)
    while at >= 0:
        begin = block.rfind("\n", 0, at)
        end = block.find("\n", at)
        end = len(block) if end < 0 else end
        if whole.fullmatch(block, begin + 1, end):
            kept.append(block[start:begin])
            messages.skipped[SYSTEM] += 1
            start = end
        at = block.find(core, max(end, at + 1))
    kept.append(block[start:])
    return "".join(kept)
