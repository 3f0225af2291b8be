"""Exports that are one JSON document. It is read as a stream, because a chat of years may not fit into memory.

The only file that imports ijson, and only for such exports: a phone, or a device that only keeps models, may lack it.
ijson uses its C backend where there is one; its pure-Python backend reads the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from tokenizer.corpus.messages import SYSTEM

_BROKEN_JSON: Final = "files that break off, or go on as no JSON"  # a reason in stats.json


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message. `names` are the names of people that the export lists for it, such as those it mentions."""

    time: int
    user: str
    text: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonExport:
    """One format. `prefixes` are the paths at which messages may stand, in ijson's notation.

    `read_message` returns None for an object that is no person's message.
    """

    name: str
    prefixes: Sequence[str]
    read_message: Callable[[Mapping[str, Any]], Record | None]


class CountSkipped(Protocol):
    """Counts what was skipped, by reason."""

    def __call__(self, reason: str, count: int = 1) -> None: ...


def read_records(form: JsonExport, open_file: Callable[[], BinaryIO], count_skipped: CountSkipped) -> Iterator[Record]:
    """Yield every message under the first prefix that has any. Counts other objects, and a file that breaks off.

    Raises OSError, ModuleNotFoundError (ijson).
    """
    import ijson

    for prefix in form.prefixes:
        has_any = False
        with open_file() as file:
            try:
                for plain in ijson.items(file, prefix, use_float=True):
                    has_any = True
                    record = form.read_message(plain) if isinstance(plain, dict) else None
                    if record is None:
                        count_skipped(SYSTEM)
                    else:
                        yield record
            except (ijson.JSONError, UnicodeDecodeError, ValueError, RecursionError):
                count_skipped(_BROKEN_JSON)
                return
        if has_any:
            return


def replace_lone_surrogates(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which JSON can escape but UTF-8 cannot encode."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
