"""Documents as bytes: lines of JSON, plain texts, and one index entry per document. Pure.

An entry says all that later steps need, so that nothing reads the document again. Workers make these bytes; the main
process only writes them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tokenizer.corpus.conversations.duplicates import BANDS, beginning_hash, exact_hash, near_hashes
from tokenizer.corpus.conversations.grouping import Document
from tokenizer.corpus.messages import iso_time

ENTRY: Final = np.dtype(
    [
        ("start", "<i8"),  # time of the first message, seconds since 1970 or NO_TIME
        ("end", "<i8"),
        ("line_size", "<u4"),  # bytes, with the line feed
        ("text_size", "<u4"),
        ("characters", "<u4"),
        ("messages", "<u4"),
        ("source", "<u4"),  # the number of the input file
        ("exact", "<u8"),
        ("beginning", "<u8"),
        ("near", "<u8", (BANDS,)),
    ]
)
Entries = npt.NDArray[np.void]  # of dtype ENTRY
_ESCAPES: Final = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\t", b"\\t"))


@dataclass(frozen=True, slots=True)
class PackedDocuments:
    """`lines` are the documents as {"text": ..., "time": ...}, `texts` the same texts alone.

    A line feed ends each line and each text. `entries` has one entry of dtype ENTRY per document.
    """

    lines: bytes
    texts: bytes
    entries: Entries


def pack_documents(documents: Sequence[Document], source: int) -> PackedDocuments:
    """The documents as bytes with their entries. `source` is the number of the file that they come from."""
    texts = [document.text.encode() for document in documents]
    lines = [_cleaned_line(text, iso_time(document.start)) for text, document in zip(texts, documents, strict=True)]
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
    return PackedDocuments(b"".join(lines), b"\n".join([*texts, b""]), entries)


def json_line(document: Mapping[str, object]) -> bytes:
    """The document as one line of JSON, in UTF-8 and with a line feed."""
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def _cleaned_line(text: bytes, time: str | None) -> bytes:
    """The same as `json_line`, but faster. Cleaned text has no control characters but tabs and line feeds."""
    for sign, escaped in _ESCAPES:
        text = text.replace(sign, escaped)
    return b'{"text": "%b"}\n' % text if time is None else b'{"text": "%b", "time": "%b"}\n' % (text, time.encode())
