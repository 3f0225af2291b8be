"""Trains the SentencePiece model, with settings that keep Korean chat as it is.

SentencePiece: Kudo & Richardson 2018, arXiv:1808.06226. The library's own defaults (NFKC, a dummy prefix, collapsed
whitespace) lose a quarter of all chat lines for good; with these settings every text round-trips.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import sentencepiece

from tokenizer.errors import TextError, VocabularyTooSmallError
from tokenizer.files import write_whole
from tokenizer.placeholders import PLACEHOLDERS
from tokenizer.text_size import USUAL_VOCAB_SIZE
from tokenizer.vocabulary.pieces import END, PAD, START

_SAMPLE_BYTES: Final = 40_000_000  # more text hardly changes the pieces, and needs much time and memory
_FIXED_PIECES: Final = 256 + 4 + len(PLACEHOLDERS)  # byte pieces, <unk> and three controls, placeholders
_TOO_SMALL: Final = re.compile(r"Vocabulary size is smaller than required_chars\. (\d+) vs (\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    """How to train. With `is_strict` a text that yields fewer than `vocab_size` pieces is an error."""

    vocab_size: int = USUAL_VOCAB_SIZE
    model_type: Literal["bpe", "unigram"] = "bpe"
    character_coverage: float = 0.9995
    is_strict: bool = False


def sample(texts: Iterable[str], utf8_bytes: int) -> Iterator[str]:
    """Every n-th text, so that about _SAMPLE_BYTES of `utf8_bytes` remain: spread evenly, and the same each time."""
    return itertools.islice(texts, 0, None, max(1, -(-utf8_bytes // _SAMPLE_BYTES)))


def train_tokenizer(texts: Iterable[str], settings: TokenizerSettings) -> bytes:
    """Train on the texts and return the bytes of the model file.

    The vocabulary may be smaller than `settings.vocab_size`: read its size from the result. Raises TextError if there
    is no text, or if the settings do not fit it.
    """
    _check_settings(settings)
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=written,
            model_type=settings.model_type,
            vocab_size=settings.vocab_size,
            character_coverage=settings.character_coverage,
            hard_vocab_limit=False,  # a small text yields fewer pieces, which is no error
            byte_fallback=True,  # no character is ever unknown
            normalization_rule_name="identity",  # NFKC would turn ㅋㅋㅋ into other characters
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            max_sentence_length=1 << 24,  # the default silently drops lines of more than 4192 bytes
            bos_piece=START,
            eos_piece=END,
            pad_piece=PAD,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=3,
            user_defined_symbols=list(PLACEHOLDERS),
            num_threads=1,  # so that the same text gives the same bytes
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _translated(error) from error
    model = written.getvalue()
    have = vocab_size(model)
    if settings.is_strict and have < settings.vocab_size:
        raise TextError(
            "the text allows {have} pieces, not the {vocab_size} asked for",
            "--vocab-size {have}, or more text",
            have=have,
            vocab_size=settings.vocab_size,
        )
    return model


def write_tokenizer(model: bytes, folder: Path, prefix: str) -> Path:
    """Write `prefix.model` and `prefix.vocab` into `folder`, and return the path of the model. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = "".join(
        f"{processor.id_to_piece(i)}\t{processor.get_score(i):g}\n" for i in range(processor.vocab_size())
    )
    write_whole(folder / f"{prefix}.vocab", vocabulary.encode())
    return write_whole(folder / f"{prefix}.model", model)


def vocab_size(model: bytes) -> int:
    """The number of pieces of a model file."""
    return int(sentencepiece.SentencePieceProcessor(model_proto=model).vocab_size())


def _check_settings(settings: TokenizerSettings) -> None:
    if settings.vocab_size <= _FIXED_PIECES:
        raise TextError(
            "a vocabulary of {vocab_size} has no room beside {fixed} fixed pieces",
            "--vocab-size {least} or more",
            vocab_size=settings.vocab_size,
            fixed=_FIXED_PIECES,
            least=2 * _FIXED_PIECES,
        )
    if not 0.98 <= settings.character_coverage <= 1:
        raise TextError(
            "a character coverage of {character_coverage} is out of range",
            "--character-coverage 0.98 to 1.0",
            character_coverage=settings.character_coverage,
        )


def _translated(error: RuntimeError) -> TextError:
    """The library's error, in our words."""
    too_small = _TOO_SMALL.search(str(error))
    if too_small:
        have, needed = too_small.groups()
        return VocabularyTooSmallError(
            "a vocabulary of {have} is too small: the text's characters and the fixed pieces alone are {needed}",
            "ask for {least} or more (tokenizer.vocab_size, --vocab-size)",
            have=have,
            needed=needed,
            least=int(needed) + 200,
        )
    return TextError(
        "SentencePiece refused: {last_line}",
        "give more text, or ask for another --vocab-size",
        last_line=_last_line(error),
    )


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of the texts, because SentencePiece trains on lines. Raises TextError if there is none."""
    is_empty = True
    for text in texts:
        for line in text.split("\n"):
            if line:
                is_empty = False
                yield line
    if is_empty:
        raise TextError("there is no text to train a tokenizer on", "check the --input files")


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
