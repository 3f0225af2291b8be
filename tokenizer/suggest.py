"""How large a vocabulary suits a text, and how much of the text is enough to find it. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

USUAL_VOCAB_SIZE: Final = 8000  # of the guide, for a chat of
_USUAL_BYTES: Final = 25_000_000  # ten million Korean characters
_LEAST, _MOST = 3000, 32_000
_SAMPLE_BYTES: Final = 40_000_000  # more text changes the pieces no more, and takes long and much memory


def suggest_vocab_size(utf8_bytes: int) -> int:
    """For a text of that size: it grows with the cube root, for most words of a larger text are known already (Heaps'
    law), and a piece that is rarely seen is learnt badly."""
    size = USUAL_VOCAB_SIZE * (utf8_bytes / _USUAL_BYTES) ** (1 / 3)
    return int(round(min(max(size, _LEAST), _MOST), -2))


def sample(texts: Iterable[str], utf8_bytes: int) -> Iterator[str]:
    """Of texts of that size every so many, so that what is left fits into memory: spread over all of it, and the same
    each time."""
    return itertools.islice(texts, 0, None, max(1, -(-utf8_bytes // _SAMPLE_BYTES)))
