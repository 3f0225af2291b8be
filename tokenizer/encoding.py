"""Texts to token ids and back. Control ids are put around encoded text, never parsed from it.

By sentencepiece, or where that is not installed (a phone) by `pure`, which gives the same ids.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

from tokenizer.errors import TextError
from tokenizer.pieces import END, PAD, SPACE, START
from tokenizer.pure import PureProcessor, is_bpe


class Processor(Protocol):
    """What of sentencepiece is used."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def vocab_size(self) -> int: ...
    def piece_to_id(self, piece: str) -> int: ...
    def id_to_piece(self, number: int) -> str: ...
    def is_control(self, number: int) -> bool: ...
    def is_unknown(self, number: int) -> bool: ...
    def is_byte(self, number: int) -> bool: ...


class Encoder:
    """A trained tokenizer."""

    def __init__(self, model: bytes) -> None:
        """Raises TextError when it is no tokenizer of ours."""
        try:
            self._processor = _processor(model)
        except (RuntimeError, ValueError) as error:
            raise TextError("the tokenizer file is damaged", "train it again: python -m tokenizer") from error
        self._model = model
        self.digest = hashlib.sha256(model).hexdigest()
        self.vocab_size = self._processor.vocab_size()
        self.start_id, self.end_id, self.pad_id = (self._control(piece) for piece in (START, END, PAD))

    @cached_property
    def has_words(self) -> bool:
        """Does no piece reach over the beginning of a word or of a line, and does the tokenizer merge (BPE)?"""
        pieces = map(self._processor.id_to_piece, range(self.vocab_size))
        return is_bpe(self._model) and not any(SPACE in piece.lstrip(SPACE) or "\n" in piece for piece in pieces)

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone."""
        return self._processor.encode(text)

    def encode_document(self, text: str) -> list[int]:
        """`<|start|>`, the text, `<|endoftext|>`."""
        return [self.start_id, *self.encode(text), self.end_id]

    def decode(self, ids: list[int]) -> str:
        return self._processor.decode(ids)

    def piece(self, number: int) -> str:
        return self._processor.id_to_piece(number)

    def is_byte(self, number: int) -> bool:
        return self._processor.is_byte(number)

    def is_text(self, number: int) -> bool:
        """Is it a piece that was learnt (or a placeholder), and no byte or control?"""
        processor = self._processor
        return not (processor.is_byte(number) or processor.is_control(number) or processor.is_unknown(number))

    def stream_decoder(self) -> StreamDecoder:
        return StreamDecoder(self._processor)

    def _control(self, piece: str) -> int:
        number = self._processor.piece_to_id(piece)
        if not self._processor.is_control(number):
            raise TextError(f"the tokenizer has no {piece} piece", "train it with: python -m tokenizer")
        return number


class StreamDecoder:
    """Ids one at a time to text, in whole characters only: a Hangul syllable may be three byte pieces."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that are complete now."""
        piece = self._processor.id_to_piece(token)
        if self._processor.is_control(token) or self._processor.is_unknown(token):
            return ""
        if self._processor.is_byte(token):
            return self._bytes.decode(bytes([int(piece[3:-1], 16)]))
        return self._bytes.decode(piece.replace(SPACE, " ").encode())

    def finish(self) -> str:
        """What an answer that was cut inside a character leaves (a replacement character, or nothing)."""
        return self._bytes.decode(b"", final=True)


def _processor(model: bytes) -> Processor:
    """Raises RuntimeError or ValueError when it is no tokenizer."""
    try:
        import sentencepiece
    except ImportError:
        return PureProcessor(model)
    return cast(Processor, sentencepiece.SentencePieceProcessor(model_proto=model))


def load_encoder(path: Path) -> Encoder:
    """Raises TextError."""
    try:
        return Encoder(path.read_bytes())
    except OSError as error:
        raise TextError(
            f"the tokenizer {path} cannot be read: {error.strerror}", "train it: python -m tokenizer"
        ) from error
