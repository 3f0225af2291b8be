"""Messages to documents: what was written in one go belongs together, so that a model learns to answer, not to finish
lines.

A silence longer than the gap ends a document, and so does a step back in time (another room). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

import numpy as np

from tokenizer.clean.messages import NO_TIME, Messages

GAP_SECONDS: Final = 1800
LONGEST: Final = 16_000  # characters; a longer conversation goes on in another document


@dataclass(slots=True)
class Document:
    """A conversation: when it began and ended (or NO_TIME), how many messages, its text."""

    start: int
    end: int
    messages: int
    text: str


def group(messages: Messages, gap_seconds: int) -> Iterator[Messages]:
    """Stretches without a silence. Messages without a time stand alone; those without text are left out."""
    times, users, texts = messages.times, messages.users, messages.texts
    if not texts:
        return
    clock = np.array(times, dtype=np.int64)
    steps = np.diff(clock)
    is_new = (steps < 0) | (steps > gap_seconds) | (clock[1:] == NO_TIME) | (clock[:-1] == NO_TIME)
    starts = [0, *(np.flatnonzero(is_new) + 1).tolist()]
    sizes = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    for start, end in zip(starts, [*starts[1:], len(texts)], strict=True):
        while start < end:  # pieces that end with the message that makes them too long
            stop = min(end, int(np.searchsorted(sizes, sizes[start] + LONGEST, side="right")))
            yield Messages(times=times[start:stop], users=users[start:stop], texts=texts[start:stop])
            start = stop


def belong_together(one: Messages, other: Messages, gap_seconds: int) -> bool:
    """Is the second the first one's continuation (in the next block of a file)?"""
    last, first = one.times[-1], other.times[0]
    is_close = NO_TIME not in (last, first) and 0 <= first - last <= gap_seconds
    return is_close and sum(map(len, one.texts)) <= LONGEST


def join(messages: Messages, has_turns: bool) -> Document | None:
    """One document; None when no text is left. With turns each message begins with its speaker's letter, `A: `."""
    if has_turns:
        letters: dict[str, str] = {}
        lines = [
            f"{letters.setdefault(user, _letter(len(letters)))}: {text}" if user else text
            for user, text in zip(messages.users, messages.texts, strict=True)
            if text
        ]
    else:
        lines = [text for text in messages.texts if text]
    if not lines:
        return None
    return Document(messages.times[0], messages.times[-1], len(lines), "\n".join(lines))


def _letter(number: int) -> str:
    return ascii_uppercase[number] if number < 26 else f"{_letter(number // 26 - 1)}{ascii_uppercase[number % 26]}"
