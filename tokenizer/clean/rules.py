"""Cleaning one message, in the order that the project's guide gives. Pure.

NFC comes first (never NFKC, which turns `ㅋㅋㅋ` into other characters for good): decomposed Korean costs nine times
the tokens. What stands for something that was removed is in PLACEHOLDERS; the tokenizer keeps each as one piece.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import Final

PHOTO, MOVIE, EMOJI, URL, NAME = PLACEHOLDERS = ("<PHOTO>", "<MOVIE>", "<EMOJI>", "<URL>", "<NAME>")

# One emoji sequence (Unicode TR 51): a flag, a keycap, or bases joined by ZWJ, each with variation, skin tone or tags.
_BASE: Final = (
    "[\U0001f000-\U0001faff\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u27bf"
    "\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299\u00a9\u00ae\u203c\u2049\u2122\u2139"
    "\u2194-\u2199\u21a9\u21aa]"
)
_MODIFIER: Final = "(?:\ufe0f|[\U0001f3fb-\U0001f3ff])?"
_EMOJI_SEQUENCE: Final = (
    "(?:[\U0001f1e6-\U0001f1ff]{2}|[0-9#*]\ufe0f?\u20e3|"
    f"{_BASE}{_MODIFIER}(?:[\U000e0020-\U000e007f]+)?(?:\u200d{_BASE}{_MODIFIER})*)"
)
_EMOJI_RUN: Final = re.compile(rf"{_EMOJI_SEQUENCE}(?:\s*{_EMOJI_SEQUENCE})*")
_ZERO_WIDTH: Final = re.compile("[\u200b\u2060\ufeff]")
_NEWLINES: Final = re.compile(r"(?:\r\n|\r|\n)+")
_PHOTO: Final = re.compile(r"사진(?: \d+장)?")
_URL: Final = re.compile(r"(?:https?://|www\.)[^\s<>\"'가-힣]+", re.IGNORECASE)
_RUN_ON: Final = re.compile(r"(\S)\1{4,}")
_EMPTY_PARENTHESES: Final = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}")


def clean(text: str, hide_names: Callable[[str], tuple[str, int]], counts: Counter[str]) -> str:
    """The cleaned message; what was replaced is added to `counts` by placeholder."""
    text = unicodedata.normalize("NFC", text).lower()
    text = _ZERO_WIDTH.sub("", text)
    text = _NEWLINES.sub("\n", text).strip()
    whole = _whole_message(text)
    if whole:
        counts[whole] += 1
        return whole
    text = _count(_URL, URL, text, counts)
    text = _count(_EMOJI_RUN, EMOJI, text, counts)
    text = _RUN_ON.sub(lambda run: run[1] * 5, text)
    text = _EMPTY_PARENTHESES.sub("", text)
    text, hidden = hide_names(text)
    if hidden:
        counts[NAME] += hidden
    return text.strip()


def _whole_message(text: str) -> str | None:
    """Only a message that is nothing else: people do say 사진 in the middle of one."""
    if _PHOTO.fullmatch(text):
        return PHOTO
    return {"동영상": MOVIE, "이모티콘": EMOJI}.get(text)


def _count(pattern: re.Pattern[str], placeholder: str, text: str, counts: Counter[str]) -> str:
    text, replaced = pattern.subn(placeholder, text)
    if replaced:
        counts[placeholder] += replaced
    return text
