"""Documents of any length into rows of one length. Pure.

Chat messages are about ten tokens: padding each to the batch's longest would throw most of the arithmetic away. So
documents are packed whole, best fit first (as nanochat does); a longer one is cut, and each later part begins a row of
its own with the last token of the part before: so every token is predicted exactly once, after what really precedes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

_OPEN_ROWS = 256  # rows that wait for a document that fits: bounds the memory, costs next to no space


def pack(documents: Iterable[Sequence[int]], width: int) -> Iterator[list[int]]:
    """Rows of at most `width` tokens, in a deterministic order. `width` is seq_len + 1: inputs and shifted targets."""
    if width < 2:
        raise ValueError(f"rows of {width} tokens")
    open_rows: list[list[int]] = []
    for document in documents:
        for number, part in enumerate(parts(document, width)):
            fitting = (row for row in open_rows if number == 0 and len(row) + len(part) <= width)
            best = max(fitting, key=len, default=None)
            if best is None:
                open_rows.append(list(part))
            else:
                best.extend(part)
                if len(best) == width:
                    open_rows = [row for row in open_rows if row is not best]
                    yield best
            if len(open_rows) > _OPEN_ROWS:
                fullest = max(range(len(open_rows)), key=lambda i: len(open_rows[i]))
                yield open_rows.pop(fullest)
    yield from open_rows


def parts(document: Sequence[int], width: int) -> Iterator[Sequence[int]]:
    """A document as pieces that fit into a row; each after the first repeats one token of context."""
    yield document[:width]
    for start in range(width - 1, len(document) - 1, width - 1):
        yield document[start : start + width]
