"""What a worker does with one block: it parses the messages, cleans them, and groups them into conversations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tokenizer.corpus.cleaning.names import NameHider, keep_names, name_hider
from tokenizer.corpus.cleaning.rules import clean_all
from tokenizer.corpus.conversations.joining import BlockConversations, ConversationOptions, divide_block
from tokenizer.corpus.input.blocks import Block, parse_block
from tokenizer.placeholders import NAME, PLACEHOLDERS, PRIVATE

_SAMPLED_MESSAGES: Final = 300  # the first ones of a block, among which samples are searched


@dataclass(frozen=True, slots=True, kw_only=True)
class CleaningOptions:
    """`names` are the names to hide; None keeps all names."""

    names: frozenset[str] | None
    conversations: ConversationOptions


@dataclass(slots=True, kw_only=True)
class CleanedBlock:
    """A block's conversations, and counts of its messages.

    `empty` counts messages without text after cleaning. `replaced` counts replacements by placeholder, `skipped`
    records by reason. `samples` are pairs of a message before and after cleaning.
    """

    conversations: BlockConversations
    messages: int
    empty: int
    replaced: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)


def clean_block(block: Block, options: CleaningOptions) -> CleanedBlock:
    """Parse and clean a block. Runs in a worker process."""
    messages = parse_block(block)
    replaced: Counter[str] = Counter()
    raw = messages.texts
    messages.texts = clean_all(raw, _hider(options.names), replaced, messages.skipped)
    return CleanedBlock(
        conversations=divide_block(messages, options.conversations, block.source),
        messages=len(messages),
        empty=messages.texts.count(""),
        replaced=replaced,
        skipped=messages.skipped,
        samples=_find_samples(raw, messages.texts),
    )


_hiders: dict[frozenset[str], NameHider] = {}


def _hider(names: frozenset[str] | None) -> NameHider:
    # Made once per process, because compiling the pattern of a thousand names takes long.
    if names is None:
        return keep_names
    if names not in _hiders:
        _hiders.clear()
        _hiders[names] = name_hider(names)
    return _hiders[names]


def _find_samples(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str]]:
    """Messages that the cleaning changed, one for each kind of change. None of them had a name or private data."""
    samples: dict[tuple[object, ...], tuple[str, str]] = {}
    for raw, text in zip(before[:_SAMPLED_MESSAGES], after[:_SAMPLED_MESSAGES], strict=True):
        raw = raw.strip()
        is_private = NAME in text or any(placeholder in text for placeholder in PRIVATE)
        if text and not is_private and raw != text and raw.lower() != text and 8 <= len(raw) <= 80:
            kind = (*(placeholder in text for placeholder in PLACEHOLDERS), len(raw) - len(text) > 3)
            samples.setdefault(kind, (raw, text))
    return list(samples.values())
