"""Documents as bytes: lines of JSON, plain texts, and an entry a document that says all that is to be known of it
later without reading it again. Made where the document is, so that another process need only write bytes. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenizer.clean.conversations import Document
from tokenizer.clean.duplicates import BANDS, beginning_hash, exact_hash, near_hashes
from tokenizer.clean.messages import iso

ENTRY: Final = np.dtype(
    [
        ("start", "<i8"),
        ("end", "<i8"),
        ("line_size", "<u4"),  # bytes
        ("text_size", "<u4"),
        ("characters", "<u4"),
        ("messages", "<u4"),
        ("source", "<u4"),
        ("exact", "<u8"),
        ("beginning", "<u8"),
        ("near", "<u8", (BANDS,)),
    ]
)
_ESCAPES: Final = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\t", b"\\t"))
Entries = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Packed:
    """`lines` are {"text": ..., "time": ...}, `texts` the same texts alone, both with a line feed behind each."""

    lines: bytes
    texts: bytes
    entries: Entries


def pack_documents(documents: Sequence[Document], source: int) -> Packed:
    """`source` is the number of the file that they come from."""
    texts = [document.text.encode() for document in documents]
    lines = [_line(text, iso(document.start)) for text, document in zip(texts, documents, strict=True)]
    entries = np.zeros(len(documents), dtype=ENTRY)
    entries["start"] = [document.start for document in documents]
    entries["end"] = [document.end for document in documents]
    entries["line_size"] = [len(line) for line in lines]
    entries["text_size"] = [len(text) + 1 for text in texts]
    entries["characters"] = [len(document.text) for document in documents]
    entries["messages"] = [document.messages for document in documents]
    entries["source"] = source
    entries["exact"] = [exact_hash(text) for text in texts]
    entries["beginning"] = [beginning_hash(document.text) for document in documents]
    entries["near"] = near_hashes([document.text for document in documents])
    return Packed(b"".join(lines), b"\n".join([*texts, b""]), entries)


def _line(text: bytes, time: str | None) -> bytes:
    """As `line_of`, for a cleaned text in UTF-8: it has no control characters but tabs and line feeds."""
    for sign, escaped in _ESCAPES:
        text = text.replace(sign, escaped)
    return b'{"text": "%b"}\n' % text if time is None else b'{"text": "%b", "time": "%b"}\n' % (text, time.encode())


def line_of(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"
