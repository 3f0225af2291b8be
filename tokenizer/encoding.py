"""Texts to token ids and back. Control ids are put around encoded text, never parsed from it."""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path

import sentencepiece

from tokenizer.errors import TextError
from tokenizer.training import END, PAD, START


class Encoder:
    """A trained tokenizer."""

    def __init__(self, model: bytes) -> None:
        """Raises TextError when it is no tokenizer of ours."""
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise TextError("the tokenizer file is damaged", "train it again: python -m tokenizer") from error
        self.digest = hashlib.sha256(model).hexdigest()
        self.vocab_size = int(self._processor.vocab_size())
        self.start_id, self.end_id, self.pad_id = (self._control(piece) for piece in (START, END, PAD))

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone."""
        ids: list[int] = self._processor.encode(text)
        return ids

    def encode_document(self, text: str) -> list[int]:
        """`<|start|>`, the text, `<|endoftext|>`."""
        return [self.start_id, *self.encode(text), self.end_id]

    def decode(self, ids: list[int]) -> str:
        text: str = self._processor.decode(ids)
        return text

    def stream_decoder(self) -> StreamDecoder:
        return StreamDecoder(self._processor)

    def _control(self, piece: str) -> int:
        number = int(self._processor.piece_to_id(piece))
        if not self._processor.is_control(number):
            raise TextError(f"the tokenizer has no {piece} piece", "train it with: python -m tokenizer")
        return number


class StreamDecoder:
    """Ids one at a time to text, in whole characters only: a Hangul syllable may be three byte pieces."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self._processor = processor
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The characters that are complete now."""
        piece: str = self._processor.id_to_piece(token)
        if self._processor.is_control(token) or self._processor.is_unknown(token):
            return ""
        if self._processor.is_byte(token):
            return self._bytes.decode(bytes([int(piece[3:-1], 16)]))
        return self._bytes.decode(piece.replace("\u2581", " ").encode())

    def finish(self) -> str:
        """What an answer that was cut inside a character leaves (a replacement character, or nothing)."""
        return self._bytes.decode(b"", final=True)


def load_encoder(path: Path) -> Encoder:
    """Raises TextError."""
    try:
        return Encoder(path.read_bytes())
    except OSError as error:
        raise TextError(
            f"the tokenizer {path} cannot be read: {error.strerror}", "train it: python -m tokenizer"
        ) from error
