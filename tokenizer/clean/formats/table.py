"""Tables: CSV with any columns, JSON lines with the same names, and the CSV of KakaoTalk for macOS, also where it is
broken.

KakaoTalk's CSV may have unquoted line breaks and half rows of the system's inside a message: then rows begin where a
date stands, and nothing else counts.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tokenizer.clean.formats.kakaotalk import SYSTEM_LINES
from tokenizer.clean.formats.records import whole_characters
from tokenizer.clean.messages import NO_TIME, SYSTEM, Messages
from tokenizer.clean.times import plain_stamps, read_stamp, read_stamps

csv.field_size_limit(1 << 27)
MAC_NAME: Final = "KakaoTalk (macOS)"
DIALECT_RECORD: Final = re.compile(
    r'\n(?:(?P<time>\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}),(?:"(?P<quoted>[^"\n]*(?:""[^"\n]*)*)"|(?P<plain>[^,"\n]*)),'
    r'|(?:"")?,(?:"")?,(?="))'
)
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
MAC_ROW: Final = re.compile(r"\n\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},")
_MAC_USER: Final = re.compile(rb'\n\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},("[^"\n]*(?:""[^"\n]*)*"|[^,"\n]*),')
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
_WORDS: Final = {
    "time": [
        "date",
        "time",
        "datetime",
        "timestamp",
        "created_at",
        "sent_at",
        "날짜",
        "시간",
        "일시",
        "날짜시간",
        "보낸시간",
    ],
    "user": [
        "user",
        "name",
        "author",
        "sender",
        "from",
        "nickname",
        "username",
        "사용자",
        "이름",
        "작성자",
        "보낸사람",
        "발신자",
        "닉네임",
    ],
    "text": ["message", "text", "content", "body", "msg", "메시지", "내용", "본문", "대화", "채팅"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column of `header` has the time, the author, the text; None: there is no such column."""

    text: str
    time: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableState:
    """`header` are the cells of the first line; None for JSON lines."""

    columns: Columns
    header: tuple[str, ...]
    delimiter: str = ","
    is_day_first: bool = False


def find_columns(header: Sequence[str], wish: Mapping[str, str]) -> Columns | None:
    """By the wish (`time=Sent at`), otherwise by usual names in English and Korean; None where no text column is."""
    plain = {cell.strip().lower(): cell for cell in header}
    found = {}
    for role, words in _WORDS.items():
        known = [wish[role].strip().lower()] if role in wish else words
        found[role] = next((plain[word] for word in known if word in plain), None)
    return Columns(text=found["text"], time=found["time"], user=found["user"]) if found["text"] else None


def read_header(line: str) -> tuple[tuple[str, ...], str]:
    """Its cells and the delimiter that makes the most of them."""
    delimiter = max(",;\t|", key=line.count)
    return tuple(cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])), delimiter


def parse_table(block: str, state: TableState) -> Messages:
    """Rows of a CSV file. What has another number of cells is skipped and counted."""
    messages = Messages()
    rows = _whole_rows(block, state, messages.skipped)
    place = {role: state.header.index(name) for role, name in _named(state.columns)}
    messages.texts = [row[place["text"]] for row in rows]
    messages.users = [row[place["user"]].strip() for row in rows] if "user" in place else [""] * len(rows)
    times = [row[place["time"]] for row in rows] if "time" in place else [""] * len(rows)
    messages.times = read_stamps(times, state.is_day_first)
    return messages


def table_users(block: str, state: TableState) -> set[str]:
    """Who speaks."""
    if state.columns.user is None:
        return set()
    place = state.header.index(state.columns.user)
    return {row[place].strip() for row in _whole_rows(block, state, Counter())} - {""}


def parse_mac(block: str) -> Messages:
    """KakaoTalk for macOS: rows of Date,User,Message."""
    stamps, users, texts = _mac_columns(block)
    strangers = {user for user in set(users) if not user or is_system(user)}
    messages = Messages(times=stamps, users=users, texts=texts)
    if strangers or NO_TIME in stamps:
        kept = [i for i, user in enumerate(users) if user not in strangers and stamps[i] != NO_TIME]
        messages = Messages(
            times=[stamps[i] for i in kept], users=[users[i] for i in kept], texts=[texts[i] for i in kept]
        )
        messages.skipped[SYSTEM] = len(users) - len(kept)
    return messages


def mac_users(block: bytes, encoding: str) -> set[str]:
    """Who speaks (and who is said to in a pasted export: better a name too many than one too few)."""
    cells = {cell.decode(encoding, "replace") for cell in set(_MAC_USER.findall(b"\n" + block))}
    users = {cell[1:-1].replace('""', '"') if cell[:1] == '"' else cell for cell in cells}
    return {user for user in users if user and not is_system(user)}


def _mac_columns(block: str) -> tuple[list[int], list[str], list[str]]:
    """Times, users, texts: as CSV where it is one with a time, or nothing, in front of each row; otherwise mended."""
    rows = _strict_rows(block)
    if rows:
        times, users, texts = (list(column) for column in zip(*rows, strict=True))
        stamps = plain_stamps(times)
        if stamps or all(_TIME.fullmatch(time) or not time for time in times):
            return stamps or read_stamps(times), users, texts
    rows = _mended_rows(block)
    times, users, texts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return read_stamps(times), users, texts


def parse_json_lines(block: str, state: TableState) -> Messages:
    """Objects, one a line. What is none, or has no text, is skipped and counted."""
    messages = Messages()
    columns = state.columns
    for line in block.split("\n"):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line)
            text = row[columns.text]
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            messages.skipped[f'lines without {{"{columns.text}": ...}}'] += 1
            continue
        if not isinstance(text, str):
            messages.skipped[f"lines whose {columns.text} is no string"] += 1
            continue
        time, user = row.get(columns.time), row.get(columns.user)
        messages.add(
            read_stamp(str(time), state.is_day_first) if time else NO_TIME,
            user if isinstance(user, str) else "",
            whole_characters(text),
        )
    return messages


@lru_cache(maxsize=1 << 12)
def is_system(text: str) -> bool:
    return any(core in text and whole.fullmatch(text) for core, whole in SYSTEM_LINES)


def _named(columns: Columns) -> Iterator[tuple[str, str]]:
    for role, name in (("time", columns.time), ("user", columns.user), ("text", columns.text)):
        if name is not None:
            yield role, name


def _whole_rows(block: str, state: TableState, skipped: Counter[str]) -> list[list[str]]:
    """The rows that have as many cells as the header; others are counted."""
    try:
        rows = list(csv.reader(_LINE.findall(block), delimiter=state.delimiter))
    except csv.Error:
        skipped["rows that are no CSV"] += 1
        rows = list(_readable(block, state.delimiter, skipped))
    width = len(state.header)
    for row in rows:
        if row and len(row) != width:
            skipped[f"rows of {len(row)} columns instead of {width}"] += 1
    return [row for row in rows if len(row) == width]


def _readable(block: str, delimiter: str, skipped: Counter[str]) -> Iterator[list[str]]:
    """Line by line, where the block as a whole is no CSV."""
    for line in block.split("\n"):
        try:
            yield next(csv.reader([line], delimiter=delimiter), [])
        except csv.Error:
            skipped["rows that are no CSV"] += 1


def _strict_rows(block: str) -> list[list[str]] | None:
    """The rows as CSV, or None when they are no CSV of three columns."""
    lines = block.split("\n")
    try:
        rows = list(csv.reader(lines, strict=True))
        if len(rows) != len(lines):  # a cell of several lines, whose line feeds must stay
            rows = list(csv.reader(_LINE.findall(block), strict=True))
    except csv.Error:
        return None
    rows = [row for row in rows if row]
    return rows if set(map(len, rows)) == {3} else None


def _mended_rows(block: str) -> list[list[str]]:
    """A row lasts from one date to the next, whatever stands between."""
    parts = DIALECT_RECORD.split("\n" + block)
    rows = []
    for time, quoted, plain, text in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
        text = text.rstrip("\n")
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        user = quoted.replace('""', '"') if quoted is not None else plain
        rows.append([time or "", user or "", text.replace('""', '"')])
    return rows
