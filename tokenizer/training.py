"""Training the SentencePiece model. Settings that keep Korean chat as it is; each default has its reason.

SentencePiece: Kudo & Richardson 2018, arXiv:1808.06226. The library's own defaults (NFKC, a dummy prefix, whitespace
collapsed) lose a quarter of all chat lines for good; with these every text round-trips.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sentencepiece

from tokenizer.clean.rules import PLACEHOLDERS
from tokenizer.errors import TextError
from tokenizer.files import write_whole
from tokenizer.pieces import END, PAD, START
from tokenizer.suggest import USUAL_VOCAB_SIZE

_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. (\d+) vs (\d+)")
_BYTES_AND_CONTROLS = 256 + 4 + len(PLACEHOLDERS)  # byte pieces, <unk> and three controls, placeholders


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    """`is_strict`: fail rather than shrink when the text does not yield `vocab_size` pieces."""

    vocab_size: int = USUAL_VOCAB_SIZE
    model_type: Literal["bpe", "unigram"] = "bpe"
    character_coverage: float = 0.9995
    is_strict: bool = False


def train_tokenizer(texts: Iterable[str], settings: TokenizerSettings) -> bytes:
    """The model file's bytes. Its vocabulary may be smaller than asked for: read it back. Raises TextError."""
    if settings.vocab_size <= _BYTES_AND_CONTROLS:
        hint = f"--vocab-size {2 * _BYTES_AND_CONTROLS} or more"
        raise TextError(
            f"a vocabulary of {settings.vocab_size} has no room beside {_BYTES_AND_CONTROLS} fixed pieces", hint
        )
    if not 0.98 <= settings.character_coverage <= 1:
        raise TextError(f"a character coverage of {settings.character_coverage}", "--character-coverage 0.98 to 1.0")
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts),
            model_writer=written,
            model_type=settings.model_type,
            vocab_size=settings.vocab_size,
            character_coverage=settings.character_coverage,
            hard_vocab_limit=False,  # a small text yields fewer pieces, and that is no error
            byte_fallback=True,  # nothing is ever unknown
            normalization_rule_name="identity",  # NFKC would turn ㅋㅋㅋ into other characters
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            max_sentence_length=1 << 24,  # the default drops lines of over 4192 bytes in silence
            bos_piece=START,
            eos_piece=END,
            pad_piece=PAD,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=3,
            user_defined_symbols=list(PLACEHOLDERS),
            num_threads=1,  # the same text gives the same bytes
            minloglevel=2,
        )
    except RuntimeError as error:
        too_small = _TOO_SMALL.search(str(error))
        if too_small:
            have, needed = too_small.groups()
            raise TextError(
                f"a vocabulary of {have} is too small: the text's characters and the fixed pieces alone are {needed}",
                f"ask for {int(needed) + 200} or more (tokenizer.vocab_size, --vocab-size)",
            ) from error
        raise TextError(
            f"SentencePiece refused: {_first_line(error)}", "give more text, or ask for another --vocab-size"
        ) from error
    model = written.getvalue()
    have = vocab_size(model)
    if settings.is_strict and have < settings.vocab_size:
        raise TextError(
            f"the text allows {have} pieces, not the {settings.vocab_size} asked for",
            f"--vocab-size {have}, or more text",
        )
    return model


def write_tokenizer(model: bytes, folder: Path, prefix: str) -> Path:
    """`prefix.model` and `prefix.vocab` in `folder`, each whole or not at all; the model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    vocabulary = "".join(
        f"{processor.id_to_piece(i)}\t{processor.get_score(i):g}\n" for i in range(processor.vocab_size())
    )
    write_whole(folder / f"{prefix}.vocab", vocabulary.encode())
    return write_whole(folder / f"{prefix}.model", model)


def vocab_size(model: bytes) -> int:
    return int(sentencepiece.SentencePieceProcessor(model_proto=model).vocab_size())


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """SentencePiece takes a line at a time. Raises TextError when there is none."""
    is_empty = True
    for text in texts:
        for line in text.split("\n"):
            if line:
                is_empty = False
                yield line
    if is_empty:
        raise TextError("there is no text to train a tokenizer on", "check the --input files")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__
