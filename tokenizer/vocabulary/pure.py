"""SentencePiece's BPE in pure Python, for devices without the library (a phone). It gives the same ids.

It reads the model file (Protocol Buffers wire format: varints, and lengths before bytes), then merges as
sentencepiece's bpe_model.cc does: first the pair with the highest score, the leftmost of equals. A symbol that is no
piece becomes its UTF-8 bytes. It reads only models that `training` makes: BPE, no normalization, byte fallback.
"""

from __future__ import annotations

import heapq
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tokenizer.vocabulary.pieces import SPACE

# ModelProto.SentencePiece.Type and TrainerSpec.ModelType in sentencepiece_model.proto.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_BPE: Final = 2


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the vocabulary. A higher score merges earlier; `kind` is one of the constants above."""

    text: str
    score: float
    kind: int


class PureProcessor:
    """The part of sentencepiece.SentencePieceProcessor that `encoding.Processor` names."""

    def __init__(self, model: bytes) -> None:
        """Raises ValueError if the file is damaged, or is a model of another kind."""
        self._pieces = _read_model(model)
        self._ids = {piece.text: i for i, piece in enumerate(self._pieces)}
        self._merged = {p.text: (-p.score, i) for i, p in enumerate(self._pieces) if p.kind in (_NORMAL, _USER_DEFINED)}
        self._bytes = {int(p.text[3:-1], 16): i for i, p in enumerate(self._pieces) if p.kind == _BYTE}
        if len(self._bytes) != 256:
            raise ValueError("a tokenizer without byte fallback")
        # The longest first, because a pattern takes the first branch that matches.
        whole = sorted((p.text for p in self._pieces if p.kind == _USER_DEFINED), key=len, reverse=True)
        self._whole = re.compile("|".join(map(re.escape, whole)) or "(?!)")

    def encode(self, text: str) -> list[int]:
        """The ids of the text, without control ids."""
        text = text.replace(" ", SPACE)
        ids: list[int] = []
        start = 0
        for found in self._whole.finditer(text):
            ids += self._merge(text[start : found.start()])
            ids.append(self._ids[found[0]])
            start = found.end()
        return ids + self._merge(text[start:])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the ids, with U+FFFD for bytes that are no whole character."""
        data = bytearray()
        for number in ids:
            piece = self._pieces[number]
            if piece.kind == _BYTE:
                data.append(int(piece.text[3:-1], 16))
            elif piece.kind == _UNKNOWN:
                data += " \u2047 ".encode()
            elif piece.kind != _CONTROL:
                data += piece.text.replace(SPACE, " ").encode()
        return data.decode("utf-8", "replace")

    def vocab_size(self) -> int:
        """The number of pieces."""
        return len(self._pieces)

    def piece_to_id(self, piece: str) -> int:
        """The id of a piece; 0, the id of `<unk>`, if there is no such piece."""
        return self._ids.get(piece, 0)

    def id_to_piece(self, number: int) -> str:
        """The piece with this id."""
        return self._pieces[number].text

    def is_control(self, number: int) -> bool:
        """Whether the id is a control, such as `<|start|>`."""
        return self._pieces[number].kind == _CONTROL

    def is_unknown(self, number: int) -> bool:
        """Whether the id is `<unk>`."""
        return self._pieces[number].kind == _UNKNOWN

    def is_byte(self, number: int) -> bool:
        """Whether the id is a single byte."""
        return self._pieces[number].kind == _BYTE

    def _merge(self, text: str) -> list[int]:
        """The ids of a text without user-defined pieces: symbols in a linked list, pairs in a heap."""
        symbols = list(text)
        before, after = list(range(-1, len(text) - 1)), [*range(1, len(text)), -1]
        heap: list[tuple[float, int, int, str]] = []

        def consider(left: int) -> None:
            right = after[left]
            if right >= 0:
                merged = symbols[left] + symbols[right]
                found = self._merged.get(merged)
                if found:
                    heapq.heappush(heap, (found[0], left, right, merged))

        for place in range(len(symbols) - 1):
            consider(place)
        while heap:
            _, left, right, merged = heapq.heappop(heap)
            # A pair whose symbols have been merged since is still in the heap.
            if after[left] != right or symbols[left] + symbols[right] != merged or not symbols[right]:
                continue
            symbols[left], symbols[right] = merged, ""
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            consider(left)
            if before[left] >= 0:
                consider(before[left])
        return [number for symbol in symbols if symbol for number in self._ids_of(symbol)]

    def _ids_of(self, symbol: str) -> Sequence[int]:
        found = self._merged.get(symbol)
        return (found[1],) if found else [self._bytes[byte] for byte in symbol.encode()]


def is_bpe(model: bytes) -> bool:
    """Whether a model file is of BPE. Raises ValueError if it is damaged."""
    return _kind_of(model) == _BPE


def _kind_of(model: bytes) -> int:
    """The model type. Fields of ModelProto: 2 trainer_spec (3 model_type)."""
    for field, value in _fields(model):
        if field == 2 and isinstance(value, bytes):
            kind = dict(_fields(value)).get(3, 1)
            return kind if isinstance(kind, int) else 0
    return 1


def _read_model(model: bytes) -> list[Piece]:
    """The pieces. Fields of ModelProto: 1 pieces, 3 normalizer_spec (1 name, 3 dummy prefix, 4 extra spaces)."""
    pieces, normalizer = [], {}
    for field, value in _fields(model):
        if field == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            text, score = piece.get(1, b""), piece.get(2, b"\0\0\0\0")
            if not isinstance(text, bytes) or not isinstance(score, bytes):
                raise ValueError("a damaged piece")
            number = piece.get(3, _NORMAL)
            pieces.append(Piece(text.decode(), struct.unpack("<f", score)[0], number if isinstance(number, int) else 0))
        elif field == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
    if not is_bpe(model):
        raise ValueError("a tokenizer of another kind than BPE")
    # A missing field has its default: both flags are true.
    if normalizer.get(1) != b"identity" or normalizer.get(3, 1) or normalizer.get(4, 1):
        raise ValueError("a tokenizer that normalizes text")
    return pieces


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The field numbers and values of a message. Raises ValueError if it breaks off, or has a group."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        if key & 7 == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            length, place = _varint(data, place)
        elif key & 7 in (1, 5):
            length = 8 if key & 7 == 1 else 4
        else:
            raise ValueError("a damaged tokenizer")
        if place + length > len(data):
            raise ValueError("a tokenizer that breaks off")
        yield key >> 3, data[place : place + length]
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a tokenizer that breaks off")
