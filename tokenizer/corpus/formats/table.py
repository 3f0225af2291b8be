"""Tables: CSV with any columns, and JSON lines with the same keys. Pure."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenizer.corpus.formats.json_export import replace_lone_surrogates
from tokenizer.corpus.formats.times import read_stamp, read_stamps
from tokenizer.corpus.messages import NO_TIME, Messages

csv.field_size_limit(1 << 27)  # the default refuses a cell of more than 128 KiB
CSV_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")  # a line with its line feed, which a cell of several lines needs
# Reasons in `skipped`.
_WITHOUT_TEXT: Final = 'lines without {"{column}": ...}'
_NO_STRING: Final = "lines whose {column} is no string"
_OTHER_WIDTH: Final = "rows of {columns} columns instead of {expected}"
_USUAL_NAMES: Final = {
    "time": "date time datetime timestamp created_at sent_at 날짜 시간 일시 날짜시간 보낸시간".split(),
    "user": "user name author sender from nickname username 사용자 이름 작성자 보낸사람 발신자 닉네임".split(),
    "text": "message text content body msg 메시지 내용 본문 대화 채팅".split(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The names of the columns with the text, the time and the user; None if a table has no such column."""

    text: str
    time: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """What the parser of a block must know about its file. `header` has the cells of the first line of a CSV file."""

    columns: Columns
    header: tuple[str, ...]
    delimiter: str = ","


def find_columns(header: Sequence[str], named: Mapping[str, str]) -> Columns | None:
    """The columns of a table: those that the user named (`time=Sent at`), else those with a usual name.

    Returns None if there is no column of texts.
    """
    header_by_name = {cell.strip().lower(): cell for cell in header}
    found = {}
    for role, usual in _USUAL_NAMES.items():
        candidates = [named[role].strip().lower()] if role in named else usual
        found[role] = next((header_by_name[name] for name in candidates if name in header_by_name), None)
    return Columns(text=found["text"], time=found["time"], user=found["user"]) if found["text"] else None


def read_header(line: str) -> tuple[tuple[str, ...], str]:
    """The cells of a CSV file's first line, and the delimiter that occurs most often in it."""
    delimiter = max(",;\t|", key=line.count)
    return tuple(cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])), delimiter


def parse_table(block: str, layout: TableLayout) -> Messages:
    """The messages of a block of CSV. Counts rows with another number of cells than the header as skipped."""
    messages = Messages()
    rows = _complete_rows(block, layout, messages.skipped)
    place = {role: layout.header.index(name) for role, name in _named_columns(layout.columns)}
    messages.texts = [row[place["text"]] for row in rows]
    messages.users = [row[place["user"]].strip() for row in rows] if "user" in place else [""] * len(rows)
    times = [row[place["time"]] for row in rows] if "time" in place else [""] * len(rows)
    messages.times = read_stamps(times)
    return messages


def table_users(block: str, layout: TableLayout) -> set[str]:
    """The users of a block of CSV."""
    if layout.columns.user is None:
        return set()
    place = layout.header.index(layout.columns.user)
    return {row[place].strip() for row in _complete_rows(block, layout, Counter())} - {""}


def parse_json_lines(block: str, layout: TableLayout) -> Messages:
    """The messages of a block of JSON lines. Counts lines without a text as skipped."""
    messages = Messages()
    columns = layout.columns
    for line in block.split("\n"):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
            text = row[columns.text]
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            messages.skipped[_WITHOUT_TEXT.replace("{column}", columns.text)] += 1
            continue
        if not isinstance(text, str):
            messages.skipped[_NO_STRING.format(column=columns.text)] += 1
            continue
        time, user = row.get(columns.time), row.get(columns.user)
        messages.add(
            read_stamp(str(time)) if time else NO_TIME,
            user if isinstance(user, str) else "",
            replace_lone_surrogates(text),
        )
    return messages


def _named_columns(columns: Columns) -> Iterator[tuple[str, str]]:
    for role, name in (("time", columns.time), ("user", columns.user), ("text", columns.text)):
        if name is not None:
            yield role, name


def _complete_rows(block: str, layout: TableLayout, skipped: Counter[str]) -> list[list[str]]:
    """The rows that have as many cells as the header. Counts the others in `skipped`."""
    try:
        rows = list(csv.reader(CSV_LINE.findall(block), delimiter=layout.delimiter))
    except csv.Error:
        skipped["rows that are no CSV"] += 1
        rows = list(_readable_rows(block, layout.delimiter, skipped))
    width = len(layout.header)
    for row in rows:
        if row and len(row) != width:
            skipped[_OTHER_WIDTH.format(columns=len(row), expected=width)] += 1
    return [row for row in rows if len(row) == width]


def _readable_rows(block: str, delimiter: str, skipped: Counter[str]) -> Iterator[list[str]]:
    """The rows of a block that is not valid CSV as a whole, read line by line."""
    for line in block.split("\n"):
        try:
            yield next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            skipped["rows that are no CSV"] += 1
