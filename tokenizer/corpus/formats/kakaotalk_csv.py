"""KakaoTalk for macOS: CSV with the columns Date,User,Message, even where the CSV is broken. Pure.

A message may contain line breaks without quotes, and incomplete rows of the messenger. Such a block is split wherever
a row begins with a date.
"""

from __future__ import annotations

import csv
import re
from typing import Final

from tokenizer.corpus.formats.kakaotalk import is_system_line
from tokenizer.corpus.formats.table import CSV_LINE
from tokenizer.corpus.formats.times import read_stamps, read_usual_stamps
from tokenizer.corpus.messages import NO_TIME, SYSTEM, Messages

KAKAOTALK_CSV: Final = "KakaoTalk (macOS)"
HEADER: Final = ["date", "user", "message"]
_STAMP: Final = r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}"
ROW_BEGINNING: Final = re.compile(rf"\n{_STAMP},")
_BROKEN_ROW: Final = re.compile(
    rf'\n(?:(?P<time>{_STAMP}),(?:"(?P<quoted>[^"\n]*(?:""[^"\n]*)*)"|(?P<plain>[^,"\n]*)),|(?:"")?,(?:"")?,(?="))'
)
_TIME: Final = re.compile(_STAMP, re.ASCII)
_USER_CELL: Final = re.compile(rb"\n" + _STAMP.encode() + rb',("[^"\n]*(?:""[^"\n]*)*"|[^,"\n]*),')


def parse_kakaotalk_csv(block: str) -> Messages:
    """The messages of a block. Rows without a user or a time are system lines."""
    times, users, texts = _columns(block)
    not_people = {user for user in set(users) if not user or is_system_line(user)}
    messages = Messages(times=times, users=users, texts=texts)
    if not_people or NO_TIME in times:
        kept = [i for i, user in enumerate(users) if user not in not_people and times[i] != NO_TIME]
        messages = Messages(
            times=[times[i] for i in kept], users=[users[i] for i in kept], texts=[texts[i] for i in kept]
        )
        messages.skipped[SYSTEM] = len(users) - len(kept)
    return messages


def kakaotalk_csv_users(block: bytes, encoding: str) -> set[str]:
    """The users of a block.

    An export that somebody pasted into a message adds its users, too: it is better to hide one name too many.
    """
    cells = {cell.decode(encoding, "replace") for cell in set(_USER_CELL.findall(b"\n" + block))}
    users = {cell[1:-1].replace('""', '"') if cell[:1] == '"' else cell for cell in cells}
    return {user for user in users if user and not is_system_line(user)}


def _columns(block: str) -> tuple[list[int], list[str], list[str]]:
    """Times, users and texts: read as CSV if every row is valid, else as broken rows."""
    rows = _strict_rows(block)
    if rows:
        stamps, users, texts = (list(column) for column in zip(*rows, strict=True))
        times = read_usual_stamps(stamps)
        if times or all(_TIME.fullmatch(stamp) or not stamp for stamp in stamps):
            return times or read_stamps(stamps), users, texts
    rows = _repaired_rows(block)
    stamps, users, texts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return read_stamps(stamps), users, texts


def _strict_rows(block: str) -> list[list[str]] | None:
    """The rows of valid CSV with three columns; None if the block is anything else."""
    lines = block.split("\n")
    try:
        rows = list(csv.reader(lines, strict=True))
        if len(rows) != len(lines):  # a cell has several lines, and needs their line feeds
            rows = list(csv.reader(CSV_LINE.findall(block), strict=True))
    except csv.Error:
        return None
    rows = [row for row in rows if row]
    return rows if set(map(len, rows)) == {3} else None


def _repaired_rows(block: str) -> list[list[str]]:
    """Rows that reach from one date to the next, with everything between them."""
    # `split` gives the text before the first row, then three groups and the text of each row.
    parts = _BROKEN_ROW.split("\n" + block)
    rows = []
    for time, quoted, plain, text in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
        text = text.rstrip("\n")
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        user = quoted.replace('""', '"') if quoted is not None else plain
        rows.append([time or "", user or "", text.replace('""', '"')])
    return rows
