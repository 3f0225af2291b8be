"""Messages to conversations to documents, so that a model learns to answer and not to finish lines. Pure.

A conversation ends at a silence longer than the gap, or at a step back in time (another chat room).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

import numpy as np

from tokenizer.corpus.messages import NO_TIME, Messages

GAP_SECONDS: Final = 1800
MAX_CHARACTERS: Final = 16_000  # a longer conversation continues in another document


@dataclass(slots=True)
class Document:
    """One conversation: the times of its first and last message (or NO_TIME), its number of messages, its text."""

    start: int
    end: int
    messages: int
    text: str


def group(messages: Messages, gap_seconds: int) -> Iterator[Messages]:
    """Yield the conversations. Each message without a time is its own conversation.

    A conversation ends with the message that takes it over MAX_CHARACTERS; what follows is another one.
    """
    times, users, texts = messages.times, messages.users, messages.texts
    if not texts:
        return
    clock = np.array(times, dtype=np.int64)
    steps = np.diff(clock)
    is_new = (steps < 0) | (steps > gap_seconds) | (clock[1:] == NO_TIME) | (clock[:-1] == NO_TIME)
    starts = [0, *(np.flatnonzero(is_new) + 1).tolist()]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])])  # characters before each message
    for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
        while start < end:
            stop = min(end, int(np.searchsorted(offsets, offsets[start] + MAX_CHARACTERS, side="right")))
            yield Messages(times=times[start:stop], users=users[start:stop], texts=texts[start:stop])
            start = stop


def is_continued(conversation: Messages, following: Messages, gap_seconds: int) -> bool:
    """Whether `following` continues `conversation`: `group` would not have separated them."""
    last, first = conversation.times[-1], following.times[0]
    is_close = NO_TIME not in (last, first) and 0 <= first - last <= gap_seconds
    return is_close and sum(map(len, conversation.texts)) <= MAX_CHARACTERS


def to_document(conversation: Messages, has_turns: bool) -> Document | None:
    """The document of a conversation; None if no message has text left.

    With `has_turns` each message begins with a letter for its speaker, such as `A: `.
    """
    if has_turns:
        letters: dict[str, str] = {}
        lines = [
            f"{letters.setdefault(user, _letter(len(letters)))}: {text}" if user else text
            for user, text in zip(conversation.users, conversation.texts, strict=True)
            if text
        ]
    else:
        lines = [text for text in conversation.texts if text]
    if not lines:
        return None
    return Document(conversation.times[0], conversation.times[-1], len(lines), "\n".join(lines))


def _letter(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return ascii_uppercase[number] if number < 26 else f"{_letter(number // 26 - 1)}{ascii_uppercase[number % 26]}"
