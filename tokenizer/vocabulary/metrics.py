"""Measures how well a tokenizer fits a text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tokenizer.vocabulary.encoding import Encoder
from tokenizer.wording import Wording, english

_MAX_CHARACTERS: Final = 4_000_000  # enough for stable figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Figures over the measured `texts`; shares are 0 to 1.

    `byte_share` is the share of tokens that are single bytes of a character without a piece; line feeds do not count,
    because they never have a piece. `round_trip_share` is the share of texts that decode to themselves, `used_share`
    the share of the vocabulary that occurs.
    """

    texts: int
    characters: int
    tokens: int
    characters_per_token: float
    byte_share: float
    round_trip_share: float
    used_share: float
    vocab_size: int


def measure(encoder: Encoder, texts: Iterable[str]) -> Metrics:
    """Measure the encoder on the first four million characters of the texts."""
    characters = tokens = exact = count = line_feeds = 0
    is_byte = [encoder.is_byte(number) for number in range(encoder.vocab_size)]
    num_uses = [0] * encoder.vocab_size
    for text in texts:
        ids = encoder.encode(text)
        for number in ids:
            num_uses[number] += 1
        characters, tokens, count = characters + len(text), tokens + len(ids), count + 1
        line_feeds += text.count("\n")
        exact += encoder.decode(ids) == text
        if characters >= _MAX_CHARACTERS:
            break
    byte_tokens = sum(uses for uses, is_one in zip(num_uses, is_byte, strict=True) if is_one) - line_feeds
    return Metrics(
        texts=count,
        characters=characters,
        tokens=tokens,
        characters_per_token=characters / max(1, tokens),
        byte_share=max(0, byte_tokens) / max(1, tokens),
        round_trip_share=exact / max(1, count),
        used_share=sum(uses > 0 for uses in num_uses) / encoder.vocab_size,
        vocab_size=encoder.vocab_size,
    )


def describe_metrics(metrics: Metrics, t: Wording = english) -> str:
    """Two lines for people."""
    density = t(
        "{characters} characters a token, {bytes} of the tokens are bytes of characters without a piece",
        characters=f"{metrics.characters_per_token:.2f}",
        bytes=f"{metrics.byte_share:.2%}",
    )
    fidelity = t(
        "{round_trips} of {texts} texts round-trip, {used} of the vocabulary is used",
        round_trips=f"{metrics.round_trip_share:.2%}",
        texts=f"{metrics.texts:,}",
        used=f"{metrics.used_share:.1%}",
    )
    return f"{density}\n{fidelity}"
