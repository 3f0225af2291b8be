"""Cleaning messages, in the order that the project's guide gives. Pure.

NFC comes first (never NFKC, which turns `ㅋㅋㅋ` into other characters for good): decomposed Korean costs nine times
the tokens. What stands for something that was removed is in PLACEHOLDERS; the tokenizer keeps each as one piece.

Thousands of messages are cleaned at once, joined by a character that can be in none of them: so a pattern costs what
its text costs, and not a call for each message.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tokenizer.clean.media import has_files, whole_files, whole_messages
from tokenizer.clean.private import PRIVATE, hide_private

PHOTO, MOVIE, EMOJI, URL, NAME = _OF_THE_GUIDE = ("<PHOTO>", "<MOVIE>", "<EMOJI>", "<URL>", "<NAME>")
PLACEHOLDERS: Final = (*_OF_THE_GUIDE, *PRIVATE)
DELETED, ATTACHED, NOTICE, DAMAGED = "deleted messages", "attachments", "system lines", "damaged characters"
SEPARATOR: Final = "\0"
_NORMALISED_AT_ONCE: Final = 50  # messages
Hider = Callable[[str], tuple[str, int]]

# One emoji sequence (Unicode TR 51): a keycap, or bases (two for a flag) joined by ZWJ, each with variation, skin
# tone or tags.
_BASE: Final = (
    "[\U0001f000-\U0001faff\u231a\u231b\u2328\u23cf\u23e9-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u27bf"
    "\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d\u3297\u3299\u00a9\u00ae\u203c\u2049\u2122\u2139"
    "\u2194-\u2199\u21a9\u21aa]"
)
_MODIFIER: Final = "(?:\ufe0f|[\U0001f3fb-\U0001f3ff])?"
_EMOJI_SEQUENCE: Final = f"{_BASE}{_MODIFIER}(?:[\U000e0020-\U000e007f]+)?(?:\u200d{_BASE}{_MODIFIER})*"
_KEYCAP_SIGN: Final = "\u20e3"
_KEYCAP: Final = re.compile(rf"[0-9#*]\ufe0f?{_KEYCAP_SIGN}")
_EMOJI_RUN: Final = re.compile(rf"{_EMOJI_SEQUENCE}(?:\s*{_EMOJI_SEQUENCE})*")
_DISCORD_EMOJI: Final = re.compile(r"<a?:\w{1,32}:[0-9]{5,20}>")
# Zero width, bidirectional controls, control characters but tab and line feed, what could not be decoded.
_INVISIBLE: Final = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffd\x01-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
)
_JOINERS: Final = "\u200c\u200d"
_NEWLINES: Final = re.compile(r"\n\n+")
_URLS: Final = tuple(re.compile(rf"{begin}[^\s<>\"'가-힣\0]+") for begin in (r"https?://", r"www\."))
_DOMAINS: Final = r"\.(?:com|net|org|kr|me|be|io|gg|tv|ly|co|app|dev|shop|site|xyz)/"
_BARE_URL_SIGN: Final = re.compile(_DOMAINS)
_BARE_URL: Final = re.compile(
    rf"(?<![a-z0-9@._\-])[a-z0-9\-]{{1,63}}(?:\.[a-z0-9\-]{{1,63}}){{0,3}}{_DOMAINS}[^\s<>\"'가-힣\0]*"
)
_EMPTY_PARENTHESES: Final = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}")
_WHOLE: Final = whole_messages(SEPARATOR)
_WHOLE_FILES: Final = whole_files(SEPARATOR)
_STANDS_FOR: Final = {"photo": PHOTO, "movie": MOVIE, "emoji": EMOJI}
_DROPPED: Final = {"attached": ATTACHED, "deleted": DELETED, "notice": NOTICE}


def clean(text: str, hide_names: Hider, counts: Counter[str], dropped: Counter[str] | None = None) -> str:
    """One cleaned message; what was replaced is added to `counts` by placeholder."""
    return clean_all([text], hide_names, counts, Counter() if dropped is None else dropped)[0]


def clean_all(texts: Sequence[str], hide_names: Hider, counts: Counter[str], dropped: Counter[str]) -> list[str]:
    """The cleaned messages, in their order; "" where nothing is left. What was replaced is added to `counts` by
    placeholder, messages that were dropped to `dropped` by reason."""
    if not texts:
        return []
    text = _join([text.strip() for text in texts])
    if text.count(SEPARATOR) > len(texts) + 1:
        text = _join([text.replace(SEPARATOR, "").strip() for text in texts])
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.lower()
    damaged = text.count("\ufffd")
    if damaged:
        dropped[DAMAGED] += damaged
    text = _INVISIBLE.sub("", text)
    text = _NEWLINES.sub("\n", text)
    text = _WHOLE.sub(lambda found: _whole(found, counts, dropped), text)
    if has_files(text):
        text = _WHOLE_FILES.sub(lambda found: _whole(found, counts, dropped), text)
    if "(이모티콘) " in text:
        text = _literal("(이모티콘) ", f"{EMOJI} ", text, counts)
    for pattern in _URLS:
        text = _count(pattern, URL, text, counts)
    if _BARE_URL_SIGN.search(text):
        text = _count(_BARE_URL, URL, text, counts)
    if "<:" in text or "<a:" in text:
        text = _count(_DISCORD_EMOJI, EMOJI, text, counts)
    if _KEYCAP_SIGN in text:
        text = _KEYCAP.sub("\U0001f51f", text)  # any emoji: a run of them is one placeholder
    text = _count(_EMOJI_RUN, EMOJI, text, counts)
    for joiner in _JOINERS:
        text = text.replace(joiner, "")
    text = hide_private(text, counts)
    text = _shorten_runs(text)
    text = _EMPTY_PARENTHESES.sub("", text)
    text, hidden = hide_names(text)
    if hidden:
        counts[NAME] += hidden
    return [text.strip() for text in text[1:-1].split(SEPARATOR)]


def _join(texts: Sequence[str]) -> str:
    """With a separator before and behind each. A few at a time to NFC: a stretch that is so already, as most are, costs
    next to nothing."""
    stretches = (texts[start : start + _NORMALISED_AT_ONCE] for start in range(0, len(texts), _NORMALISED_AT_ONCE))
    parts = [unicodedata.normalize("NFC", SEPARATOR.join(stretch)) for stretch in stretches]
    return f"{SEPARATOR}{SEPARATOR.join(parts)}{SEPARATOR}"


def _whole(found: re.Match[str], counts: Counter[str], dropped: Counter[str]) -> str:
    kind = str(found.lastgroup)
    if kind in _DROPPED:
        dropped[_DROPPED[kind]] += 1
        return SEPARATOR
    counts[_STANDS_FOR[kind]] += 1
    return SEPARATOR + _STANDS_FOR[kind]


def _shorten_runs(text: str) -> str:
    """A character that is no space, five times or more, to five: `ㅋㅋㅋㅋㅋㅋㅋ`."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    is_same = codes[1:] == codes[:-1]
    is_fifth = is_same[4:] & is_same[3:-1] & is_same[2:-2] & is_same[1:-3] & is_same[:-4]  # the sixth and later
    surplus = np.flatnonzero(is_fifth) + 5
    if not len(surplus):
        return text
    different = np.unique(codes[surplus])
    spaces = [code for code in different.tolist() if chr(code).isspace() or chr(code) == SEPARATOR]
    kept = np.ones(len(codes), dtype=bool)
    kept[surplus[~np.isin(codes[surplus], spaces)]] = False
    return codes[kept].tobytes().decode("utf-32-le")


def _literal(part: str, placeholder: str, text: str, counts: Counter[str]) -> str:
    counts[EMOJI] += text.count(part)
    return text.replace(part, placeholder)


def _count(pattern: re.Pattern[str], placeholder: str, text: str, counts: Counter[str]) -> str:
    text, replaced = pattern.subn(placeholder, text)
    if replaced:
        counts[placeholder] += replaced
    return text
