"""Encodes texts to token ids and decodes them. Control ids are added around encoded text and never parsed from it.

It uses sentencepiece, or `pure` if that is not installed (on a phone). Both give the same ids.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, cast

from tokenizer.errors import TextError, UnreadableFileError
from tokenizer.vocabulary.pieces import END, PAD, SPACE, START
from tokenizer.vocabulary.pure import PureProcessor, is_bpe


class Processor(Protocol):
    """The part of sentencepiece's interface that this project uses."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def vocab_size(self) -> int: ...
    def piece_to_id(self, piece: str) -> int: ...
    def id_to_piece(self, number: int) -> str: ...
    def is_control(self, number: int) -> bool: ...
    def is_unknown(self, number: int) -> bool: ...
    def is_byte(self, number: int) -> bool: ...


class Encoder:
    """A trained tokenizer. `digest` is the SHA-256 of its model file, in hex."""

    def __init__(self, model: bytes) -> None:
        """`model` is the contents of a model file. Raises TextError if it is damaged, or has other control pieces."""
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
        """Whether the ids of a text are those of its words in a row.

        This holds for BPE if no piece continues over the beginning of a word or a line.
        """
        pieces = map(self._processor.id_to_piece, range(self.vocab_size))
        return is_bpe(self._model) and not any(SPACE in piece.lstrip(SPACE) or "\n" in piece for piece in pieces)

    def encode(self, text: str) -> list[int]:
        """The ids of the text, without control ids."""
        return self._processor.encode(text)

    def encode_document(self, text: str) -> list[int]:
        """The ids of `<|start|>`, the text and `<|endoftext|>`."""
        return [self.start_id, *self.encode(text), self.end_id]

    def decode(self, ids: list[int]) -> str:
        """The text of the ids. Control ids have none."""
        return self._processor.decode(ids)

    def piece(self, number: int) -> str:
        """The piece with this id, in which SPACE is written for a space."""
        return self._processor.id_to_piece(number)

    def is_byte(self, number: int) -> bool:
        """Whether the id is a single byte of a character without a piece."""
        return self._processor.is_byte(number)

    def is_text(self, number: int) -> bool:
        """Whether the id is a learnt piece or a placeholder, and not a byte or a control."""
        processor = self._processor
        return not (processor.is_byte(number) or processor.is_control(number) or processor.is_unknown(number))

    def stream_decoder(self) -> StreamDecoder:
        """A new decoder for ids that arrive one at a time."""
        return StreamDecoder(self._processor)

    def _control(self, piece: str) -> int:
        number = self._processor.piece_to_id(piece)
        if not self._processor.is_control(number):
            raise TextError("the tokenizer has no {piece} piece", "train it with: python -m tokenizer", piece=piece)
        return number


class StreamDecoder:
    """Decodes ids one at a time, to whole characters only: a Hangul syllable may be three byte pieces."""

    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that this token completes; often none."""
        piece = self._processor.id_to_piece(token)
        if self._processor.is_control(token) or self._processor.is_unknown(token):
            return ""
        if self._processor.is_byte(token):
            return self._bytes.decode(bytes([int(piece[3:-1], 16)]))  # such as <0x41>
        # Through the same decoder, so that bytes of an unfinished character before it come out as U+FFFD.
        return self._bytes.decode(piece.replace(SPACE, " ").encode())

    def finish(self) -> str:
        """The rest of a text: U+FFFD if it ends inside a character, else nothing."""
        return self._bytes.decode(b"", final=True)


def _processor(model: bytes) -> Processor:
    """Raises RuntimeError or ValueError if the model is damaged."""
    try:
        import sentencepiece
    except ImportError:
        return PureProcessor(model)
    return cast(Processor, sentencepiece.SentencePieceProcessor(model_proto=model))


def load_encoder(path: Path) -> Encoder:
    """The tokenizer in a model file. Raises TextError."""
    try:
        return Encoder(path.read_bytes())
    except OSError as error:
        raise UnreadableFileError(
            "the tokenizer {path} cannot be read: {strerror}",
            "train it: python -m tokenizer",
            path=path,
            strerror=error.strerror,
        ) from error
