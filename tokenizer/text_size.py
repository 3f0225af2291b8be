"""What suits the size of a text: how large a vocabulary, and how long a row. Pure.

The rules stand below all rooms: the report on prepared text shows the first, and preparing training data applies both.
"""

from __future__ import annotations

from typing import Final

USUAL_VOCAB_SIZE: Final = 8000  # the guide's size
_MEASURED_SIZE, _MEASURED_BYTES, _EXPONENT = 5000, 1_400_000, 0.42  # measured on 0.17, 1.4 and 5 MB (DECISIONS 32)
_MIN_VOCAB_SIZE: Final = 2000  # Korean syllables and single bytes need more than half of these
_MAX_VOCAB_SIZE: Final = 16_000  # more pieces make every step slower than they shorten the text
_SHORT_ROW: Final = 128
_USUAL_ROW: Final = 256
_SMALL_TEXT_BYTES: Final = 1_000_000  # a step of a larger text has 8 usual rows or more (DECISIONS 59)


def suggest_vocab_size(utf8_bytes: int) -> int:
    """The suggested number of pieces, a multiple of 100, for a text of `utf8_bytes`.

    It grows more slowly than the text. By Heaps' law most words of a larger text are already known, and a model learns
    a rare piece badly.
    """
    size = _MEASURED_SIZE * (utf8_bytes / _MEASURED_BYTES) ** _EXPONENT
    return int(round(min(max(size, _MIN_VOCAB_SIZE), _MAX_VOCAB_SIZE), -2))


def suggest_seq_len(utf8_bytes: int) -> int:
    """The suggested number of tokens in a row, for a text of `utf8_bytes`.

    A step of a small text has few tokens, so in long rows it has too few rows for the devices of a cell. Short rows
    cost such a text nothing: its documents are short too.
    """
    return _SHORT_ROW if utf8_bytes < _SMALL_TEXT_BYTES else _USUAL_ROW
