"""Documents of any length into rows of one length. Pure.

Chat messages are about ten tokens: padding each to the batch's longest would throw most of the arithmetic away. So
documents are packed whole, best fit first (as nanochat does); a longer one is cut: its beginning fills the row that has
most room, and each later part begins a row of its own with the last token of the part before. So every token is
predicted exactly once, after what really precedes it.

Ids are bytes throughout, `size` of them a token: what is only moved need not be unpacked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

_WORTH_CUTTING: Final = 8  # a row with less than an eighth free takes no beginning of a long document
_OPEN_ROWS: Final = 256  # rows that wait for a document that fits: bounds the memory, costs next to no space


def pack(documents: Iterable[bytes], width: int, size: int) -> Iterator[bytes]:
    """Rows of at most `width` tokens, in a deterministic order. `width` is seq_len + 1: inputs and shifted targets."""
    if width < 2:
        raise ValueError(f"rows of {width} tokens")
    rows = _OpenRows(width, size)
    for document in documents:
        room, is_whole = rows.most_free(), True
        if len(document) > width * size and room > 1 and room * _WORTH_CUTTING >= width:
            yield rows.take(room) + document[: room * size]
            document, is_whole = document[(room - 1) * size :], False
        for number, part in enumerate(parts(document, width, size)):
            full = rows.add(part, may_join=is_whole and number == 0)
            if full is not None:
                yield full
        while rows.count > _OPEN_ROWS:
            yield rows.take(rows.least_free())
    while rows.count:
        yield rows.take(rows.least_free())


def parts(document: bytes, width: int, size: int) -> Iterator[bytes]:
    """A document as pieces that fit into a row; each after the first repeats one token of context."""
    yield document[: width * size]
    for start in range((width - 1) * size, len(document) - size, (width - 1) * size):
        yield document[start : start + width * size]


class _OpenRows:
    """Rows by how many tokens are free in each; a bit for each number of which there are any."""

    def __init__(self, width: int, size: int) -> None:
        self._width, self._size, self._bits, self.count = width, size, 0, 0
        self._rows: list[deque[bytes]] = [deque() for _ in range(width)]

    def add(self, part: bytes, may_join: bool) -> bytes | None:
        """Into the fullest row that has room, or one of its own; the row if it is full then."""
        tokens = len(part) // self._size
        fitting = self._bits >> tokens if may_join else 0
        free = self._width - tokens
        if fitting:
            place = tokens + _lowest(fitting)
            part, free = self.take(place) + part, place - tokens
        if free == 0:
            return part
        self._rows[free].append(part)
        self._bits |= 1 << free
        self.count += 1
        return None

    def least_free(self) -> int:
        return _lowest(self._bits)

    def most_free(self) -> int:
        """0: there is no row."""
        return max(0, self._bits.bit_length() - 1)

    def take(self, free: int) -> bytes:
        """The row that waits longest of those with so many tokens free."""
        row = self._rows[free].popleft()
        if not self._rows[free]:
            self._bits ^= 1 << free
        self.count -= 1
        return row


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
