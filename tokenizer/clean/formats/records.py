"""Exports that are one JSON document: read as a stream, for a chat of years need not fit into memory.

The only ijson import. Its C backend is used where there is one; the pure-Python one reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import ijson


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message. `names` are those of people that it mentions, where the export tells."""

    time: int
    user: str
    text: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFormat:
    """`prefixes` are the places where messages may stand (ijson's notation); the first that has any is taken."""

    name: str
    prefixes: Sequence[str]
    read_message: Callable[[Mapping[str, Any]], Record | None]


class Note(Protocol):
    def __call__(self, reason: str, count: int = 1) -> None: ...


def records(form: JsonFormat, open_file: Callable[[], BinaryIO], skip: Note) -> Iterator[Record]:
    """Every message of the file. What is none, and that a file breaks off, is told to `skip`."""
    for prefix in form.prefixes:
        is_any = False
        with open_file() as file:
            try:
                for plain in ijson.items(file, prefix, use_float=True):
                    is_any = True
                    record = form.read_message(plain) if isinstance(plain, dict) else None
                    if record is None:
                        skip("system lines")
                    else:
                        yield record
            except (ijson.JSONError, UnicodeDecodeError, ValueError, RecursionError):
                skip("files that break off, or go on as no JSON")
                return
        if is_any:
            return


def whole_characters(text: str) -> str:
    """JSON may escape half a surrogate pair, which is no character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
