"""Text that is no chat: an empty line ends a document; long ones are cut at the end of a line. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tokenizer.clean.messages import NO_TIME, Messages

_EMPTY_LINES: Final = re.compile(r"\n(?:[ \t]*\n)+")
LONGEST: Final = 4000  # characters: about a thousand tokens, several rows


def parse_plain(block: str) -> Messages:
    messages = Messages()
    for text in _EMPTY_LINES.split(block):
        for piece in cut(text, LONGEST):
            messages.add(NO_TIME, "", piece)
    return messages


def cut(text: str, longest: int) -> Iterator[str]:
    """Pieces of at most `longest` characters, ended at the end of a line where there is one, else at a space."""
    start = 0
    while len(text) - start > longest:
        end = text.rfind("\n", start + 1, start + longest)
        if end < 0:
            end = text.rfind(" ", start + 1, start + longest)
        if end < 0:
            end = start + longest
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
