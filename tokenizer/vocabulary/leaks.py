"""Checks whether a tokenizer has learnt what the cleaning hides: names, and private data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizer.corpus.cleaning.names import possible_names
from tokenizer.corpus.cleaning.private import is_private
from tokenizer.corpus.prepared.hidden_names import HiddenNames, read_hidden_names
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.pieces import SPACE
from tokenizer.wording import Wording, english

_MIN_NAME_CHARACTERS: Final = 2


@dataclass(frozen=True, slots=True)
class Leaks:
    """The ids of pieces that spell a hidden name, and of pieces that are private data by the rules of the cleaning.

    A piece that spells a name may be a part of another word (지우 of 지우개). Only ids are kept, because the pieces
    themselves are private.
    """

    names: tuple[int, ...]
    private: tuple[int, ...]


def find_leaks(encoder: Encoder, folders: Iterable[Path]) -> Leaks:
    """Check the vocabulary against the names hidden in these folders of prepared text, and for private data.

    Ignores folders without a list of names.
    """
    hidden = list(_read_all(folders))
    names, private = [], []
    for number in range(encoder.vocab_size):
        if not encoder.is_text(number):
            continue
        piece = encoder.piece(number).replace(SPACE, " ").strip()
        if len(piece) < _MIN_NAME_CHARACTERS:
            continue
        if any(name in hidden_names for hidden_names in hidden for name in possible_names(piece)):
            names.append(number)
        if is_private(piece):
            private.append(number)
    return Leaks(tuple(names), tuple(private))


def describe_leaks(leaks: Leaks, t: Wording = english) -> str:
    """A sentence for people, without any piece; empty if there are no leaks."""
    found = []
    if leaks.names:
        text = "{count} pieces of the tokenizer spell a hidden name (or a part of another word)"
        found.append(t(text, count=len(leaks.names)))
    if leaks.private:
        found.append(t("{count} pieces of the tokenizer are private data", count=len(leaks.private)))
    return "; ".join(found)


def _read_all(folders: Iterable[Path]) -> Iterator[HiddenNames]:
    for folder in folders:
        try:
            yield read_hidden_names(folder)
        except (OSError, ValueError):  # text that `data prepare` did not write has no list of names
            continue
