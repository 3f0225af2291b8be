"""What people bring: the group-chat CSV (`Date,User,Message`), plain text, JSONL. One message after the other.

A file is read as a stream. What cannot be text (binary, another encoding) is an error that names the file and place;
nothing is ever skipped in silence.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tokenizer.errors import TextError

_SNIFF_BYTES = 8192
_COLUMNS = ("date", "user", "message")
csv.field_size_limit(1 << 27)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `time` is ISO 8601 where the source has one."""

    text: str
    user: str | None = None
    time: str | None = None


def read_messages(path: Path) -> Iterator[Message]:
    """Every message of a file. Raises TextError: missing, empty, binary, not UTF-8, or not what its name says."""
    _check(path)
    try:
        yield from _reader(path)(path)
    except UnicodeDecodeError as error:
        hint = f"convert it first: iconv -f cp949 -t utf-8 {path.name} > utf8.txt"
        raise TextError(f"{path} is not UTF-8 (byte {error.start} of a line)", hint) from error
    except csv.Error as error:
        raise TextError(f"{path} is not a CSV file: {error}", "export it again, or rename it to .txt") from error


def is_prepared(path: Path) -> bool:
    """Is it the JSONL that `data prepare` writes, to be taken as it is?"""
    return path.suffix.lower() == ".jsonl"


def _check(path: Path) -> None:
    if path.is_dir():
        raise TextError(f"{path} is a folder", f"name its files: {path}/*")
    try:
        with open(path, "rb") as file:
            beginning = file.read(_SNIFF_BYTES)
    except FileNotFoundError as error:
        raise TextError(f"{path} does not exist", "check the name; the example is data/raw/chat.csv") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    if not beginning.strip():
        raise TextError(f"{path} is empty", "export the chat again")
    if b"\0" in beginning:
        raise TextError(f"{path} is not text but binary", "give a CSV, text or JSONL file in UTF-8")


def _reader(path: Path) -> Callable[[Path], Iterator[Message]]:
    return {".csv": _read_csv, ".jsonl": _read_jsonl}.get(path.suffix.lower(), _read_text)


def _read_text(path: Path) -> Iterator[Message]:
    with open(path, encoding="utf-8-sig", newline=None) as file:
        for line in file:
            yield Message(text=line.rstrip("\n"))


def _read_jsonl(path: Path) -> Iterator[Message]:
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)["text"]
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                hint = 'each line is an object such as {"text": "안녕"}'
                raise TextError(f'{path}, line {number}: no {{"text": ...}} there', hint) from error
            if not isinstance(text, str):
                raise TextError(f"{path}, line {number}: `text` is no string", 'write {"text": "안녕"}')
            yield Message(text=text)


def _read_csv(path: Path) -> Iterator[Message]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = [cell.strip().lower() for cell in next(rows, [])]
        missing = [name for name in _COLUMNS if name not in header]
        if missing:
            hint = "its first line should be: Date,User,Message"
            raise TextError(f"{path} has no column {', '.join(missing)}", hint)
        date, user, text = (header.index(name) for name in _COLUMNS)
        for row in rows:
            if not row:
                continue
            if len(row) <= max(date, user, text):
                raise TextError(
                    f"{path}, line {rows.line_num}: {len(row)} columns instead of {len(header)}", "mend that line"
                )
            yield Message(text=row[text], user=row[user].strip() or None, time=_iso(row[date]))


def _iso(text: str) -> str | None:
    try:
        return datetime.fromisoformat(text.strip()).isoformat()
    except ValueError:
        return None
