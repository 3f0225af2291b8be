"""Encodes many documents to packed ids, fast: each word is encoded once and then looked up.

If no piece continues over the beginning of a word or a line (as in every tokenizer that `training` makes), BPE merges
nothing across it either. Then the ids of a text are those of its words in a row, and people use few words. A tokenizer
of another kind encodes whole texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.pieces import SPACE

_WORD: Final = re.compile(f"[ {SPACE}]*[^ {SPACE}\n]+|[ {SPACE}]+|\n")
_MAX_WORDS: Final = 200_000  # bounds the memory


class BulkEncoder:
    """Encodes documents to little-endian ids of `dtype`. `pad` is the packed id of `<|pad|>`."""

    def __init__(self, encoder: Encoder) -> None:
        self.dtype = dtype_of(encoder.vocab_size)
        self._encoder = encoder
        self._words = _Words(lambda word: self._pack(encoder.encode(word)))
        self._start, self._end, self.pad = (
            self._pack([number]) for number in (encoder.start_id, encoder.end_id, encoder.pad_id)
        )

    def encode(self, text: str) -> bytes:
        """The packed ids of `<|start|>`, the text and `<|endoftext|>`."""
        if not self._encoder.has_words:
            return self._start + self._pack(self._encoder.encode(text)) + self._end
        if any(sign in text for sign in ("  ", "\0", SPACE)):
            words = _WORD.findall(text)
        else:  # the same result, but faster: U+0000 is not in the text, so it can separate the words
            words = text.replace(" ", "\0 ").replace("\n", "\0\n\0").split("\0")
        return b"".join([self._start, *map(self._words.__getitem__, words), self._end])

    def _pack(self, ids: list[int]) -> bytes:
        return np.array(ids, dtype=self.dtype).tobytes()


class _Words(dict[str, bytes]):
    """The packed ids by word; `encode` makes those of a new word."""

    def __init__(self, encode: Callable[[str], bytes]) -> None:
        super().__init__({"": b""})
        self._encode = encode

    def __missing__(self, word: str) -> bytes:
        ids = self._encode(word)
        if len(self) < _MAX_WORDS:
            self[word] = ids
        return ids


def dtype_of(vocab_size: int) -> np.dtype[Any]:
    """The smallest dtype for ids of such a vocabulary: uint16 or uint32, little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
