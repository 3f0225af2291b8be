"""Text that is no chat: empty lines separate documents, and a long document is split at the end of a line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tokenizer.corpus.messages import NO_TIME, Messages

_EMPTY_LINES: Final = re.compile(r"\n(?:[ \t]*\n)+")
_MAX_CHARACTERS: Final = 4000  # about a thousand tokens, which is several rows


def parse_plain(block: str) -> Messages:
    """Each document of the block as a message without user and time."""
    messages = Messages()
    for text in _EMPTY_LINES.split(block):
        for piece in _pieces(text, _MAX_CHARACTERS):
            messages.add(NO_TIME, "", piece)
    return messages


def _pieces(text: str, max_characters: int) -> Iterator[str]:
    """Split the text at the last line end that keeps a piece short enough, or else at the last space."""
    start = 0
    while len(text) - start > max_characters:
        # From start + 1 on, so that a piece is never empty.
        end = text.rfind("\n", start + 1, start + max_characters)
        if end < 0:
            end = text.rfind(" ", start + 1, start + max_characters)
        if end < 0:
            end = start + max_characters
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
