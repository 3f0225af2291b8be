"""How well a tokenizer fits a text, and whether it has learnt what was hidden from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenizer.clean.names import possible_names
from tokenizer.clean.private import is_private
from tokenizer.collection import NAMES, name_hash
from tokenizer.encoding import Encoder
from tokenizer.pieces import SPACE

_MEASURED_CHARACTERS: Final = 4_000_000
_SHORTEST_NAME: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Over `texts` texts of `characters`. Shares are 0 to 1. `byte_share` are the tokens that are single bytes of a
    character without a piece (line feeds apart, which never have one), `used_share` the pieces of the vocabulary that
    occur at all, `round_trip_share` the texts that come back exactly."""

    texts: int
    characters: int
    tokens: int
    characters_per_token: float
    byte_share: float
    round_trip_share: float
    used_share: float
    vocab_size: int


@dataclass(frozen=True, slots=True)
class Survivors:
    """Pieces of a vocabulary that spell a hidden name (which may be a part of another word: 지우 of 지우개), and those
    that are a number or an address by the rules of the cleaning. Only ids: the pieces themselves are private."""

    names: tuple[int, ...]
    private: tuple[int, ...]


def measure(encoder: Encoder, texts: Iterable[str]) -> Metrics:
    """Over the first four million characters."""
    characters = tokens = exact = count = line_feeds = 0
    is_byte = [encoder.is_byte(number) for number in range(encoder.vocab_size)]
    times = [0] * encoder.vocab_size
    for text in texts:
        ids = encoder.encode(text)
        for number in ids:
            times[number] += 1
        characters, tokens, count = characters + len(text), tokens + len(ids), count + 1
        line_feeds += text.count("\n")
        exact += encoder.decode(ids) == text
        if characters >= _MEASURED_CHARACTERS:
            break
    in_bytes = sum(time for time, is_one in zip(times, is_byte, strict=True) if is_one) - line_feeds
    return Metrics(
        texts=count,
        characters=characters,
        tokens=tokens,
        characters_per_token=characters / max(1, tokens),
        byte_share=max(0, in_bytes) / max(1, tokens),
        round_trip_share=exact / max(1, count),
        used_share=sum(time > 0 for time in times) / encoder.vocab_size,
        vocab_size=encoder.vocab_size,
    )


def say_metrics(metrics: Metrics) -> str:
    """For people, over the measured part of a text."""
    return (
        f"{metrics.characters_per_token:.2f} characters a token, {metrics.byte_share:.2%} of the tokens are bytes of "
        f"characters without a piece,\n{metrics.round_trip_share:.2%} of {metrics.texts:,} texts round-trip, "
        f"{metrics.used_share:.1%} of the vocabulary is used"
    )


def say_survivors(found: Survivors) -> str:
    """For people; empty when there is nothing to say."""
    kinds = ((found.names, "spell a hidden name (or a part of another word)"), (found.private, "are private data"))
    return "; ".join(f"{len(numbers)} pieces of the tokenizer {what}" for numbers, what in kinds if numbers)


def survivors(encoder: Encoder, folders: Iterable[Path]) -> Survivors:
    """What of the names hidden in these prepared folders, and of private data, the vocabulary spells. A folder without
    a list of names is passed over."""
    lists = list(_hidden_names(folders))
    names, private = [], []
    for number in range(encoder.vocab_size):
        if not encoder.is_text(number):
            continue
        piece = encoder.piece(number).replace(SPACE, " ").strip()
        if len(piece) < _SHORTEST_NAME:
            continue
        if any(name_hash(salt, name) in hashes for salt, hashes in lists for name in possible_names(piece)):
            names.append(number)
        if is_private(piece):
            private.append(number)
    return Survivors(tuple(names), tuple(private))


def _hidden_names(folders: Iterable[Path]) -> Iterator[tuple[str, frozenset[str]]]:
    for folder in folders:
        try:
            plain = json.loads((folder / NAMES).read_bytes())
            yield plain["salt"], frozenset(plain["hashes"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
