"""How large a vocabulary suits a text. Pure.

The rule stands below all rooms: the report on prepared text shows it, and the training of a tokenizer applies it.
"""

from __future__ import annotations

from typing import Final

USUAL_VOCAB_SIZE: Final = 8000  # the guide's size, for a chat of _USUAL_BYTES
_USUAL_BYTES: Final = 25_000_000  # ten million Korean characters
_MIN_VOCAB_SIZE: Final = 3000  # Korean syllables and single bytes need about half of these
_MAX_VOCAB_SIZE: Final = 32_000


def suggest_vocab_size(utf8_bytes: int) -> int:
    """The suggested number of pieces, a multiple of 100, for a text of `utf8_bytes`.

    It grows with the cube root of the size. By Heaps' law most words of a larger text are already known, and a model
    learns a rare piece badly.
    """
    size = USUAL_VOCAB_SIZE * (utf8_bytes / _USUAL_BYTES) ** (1 / 3)
    return int(round(min(max(size, _MIN_VOCAB_SIZE), _MAX_VOCAB_SIZE), -2))
