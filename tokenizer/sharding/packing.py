"""Packs documents of any length into rows of one length. Pure.

Chat messages have about ten tokens, so padding each to the longest of a batch would waste most of the arithmetic.
Instead documents are packed whole, best fit first (as nanochat does). A longer document is split: its beginning fills
the row with the most room, and each later part begins a new row with the last token of the part before. So every
token is predicted exactly once, after what really precedes it.

Ids stay bytes, `size` of them per token, because packing only moves them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

_MIN_ROOM_SHARE: Final = 1 / 8  # a row with less room takes no beginning of a long document
_MAX_OPEN_ROWS: Final = 256  # rows that wait for a fitting document: bounds the memory, and costs almost no room


def pack(documents: Iterable[bytes], width: int, size: int) -> Iterator[bytes]:
    """Yield rows of at most `width` tokens, in a deterministic order.

    `width` is seq_len + 1, for inputs and shifted targets. Raises ValueError if it is less than 2.
    """
    if width < 2:
        raise ValueError(f"rows of {width} tokens")
    rows = _OpenRows(width, size)
    for document in documents:
        room, is_whole = rows.most_free(), True
        if len(document) > width * size and room > 1 and room >= width * _MIN_ROOM_SHARE:
            # The rest begins with the last token of the beginning, as its context.
            yield rows.take(room) + document[: room * size]
            document, is_whole = document[(room - 1) * size :], False
        for number, part in enumerate(split_document(document, width, size)):
            full = rows.add(part, may_join=is_whole and number == 0)
            if full is not None:
                yield full
        # The fullest rows go first, since hardly any document still fits into them.
        while rows.count > _MAX_OPEN_ROWS:
            yield rows.take(rows.least_free())
    while rows.count:
        yield rows.take(rows.least_free())


def split_document(document: bytes, width: int, size: int) -> Iterator[bytes]:
    """Yield the parts of a document that fit into a row. Each after the first repeats one token of context."""
    yield document[: width * size]
    for start in range((width - 1) * size, len(document) - size, (width - 1) * size):
        yield document[start : start + width * size]


class _OpenRows:
    """Rows by their number of free tokens. Bit n of `_bits` is set if there is a row with n free tokens."""

    def __init__(self, width: int, size: int) -> None:
        self._width, self._size, self._bits, self.count = width, size, 0, 0
        self._rows: list[deque[bytes]] = [deque() for _ in range(width)]

    def add(self, part: bytes, may_join: bool) -> bytes | None:
        """Add the part to the fullest row with room for it, or as a new row. Returns the row if it is full then."""
        tokens = len(part) // self._size
        fitting = self._bits >> tokens if may_join else 0
        free = self._width - tokens
        if fitting:
            room = tokens + _lowest_bit(fitting)
            part, free = self.take(room) + part, room - tokens
        if free == 0:
            return part
        self._rows[free].append(part)
        self._bits |= 1 << free
        self.count += 1
        return None

    def least_free(self) -> int:
        """The number of free tokens in the fullest row."""
        return _lowest_bit(self._bits)

    def most_free(self) -> int:
        """The number of free tokens in the emptiest row; 0 if there is no row."""
        return max(0, self._bits.bit_length() - 1)

    def take(self, free: int) -> bytes:
        """Remove and return the row with this many free tokens that waits longest."""
        row = self._rows[free].popleft()
        if not self._rows[free]:
            self._bits ^= 1 << free
        self.count -= 1
        return row


def _lowest_bit(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
