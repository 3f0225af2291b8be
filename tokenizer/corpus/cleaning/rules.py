"""The cleaning of messages, in the order of the project's guide. Pure.

NFC normalization comes first, because decomposed Korean costs nine times the tokens. It is never NFKC, which turns
`ㅋㅋㅋ` into other characters for good.

Thousands of messages are cleaned at once, joined by a character that no message contains. So a pattern costs one call
for all of them and not one call per message.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from tokenizer.corpus.cleaning.media import file_messages, has_file_messages, media_messages
from tokenizer.corpus.cleaning.names import NameHider
from tokenizer.corpus.cleaning.patterns import replace_counted
from tokenizer.corpus.cleaning.private import hide_private
from tokenizer.placeholders import EMOJI, MOVIE, NAME, PHOTO, URL

DELETED, ATTACHED, NOTICE, DAMAGED = "deleted messages", "attachments", "system lines", "damaged characters"
SEPARATOR: Final = "\0"
_NORMALIZED_AT_ONCE: Final = 50  # messages; see `_join_normalized`

# An emoji sequence (Unicode TR 51): a keycap, or base characters (two for a flag) joined by ZWJ, each with a variation
# selector, a skin tone or tags.
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
_KAKAO_EMOTICON: Final = "(이모티콘) "  # KakaoTalk writes it before the text of the same message
_DISCORD_EMOJI: Final = re.compile(r"<a?:\w{1,32}:[0-9]{5,20}>")
# Zero-width characters, bidirectional controls, control characters but tab and line feed, undecodable bytes.
_INVISIBLE: Final = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ufffd\x01-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]"
)
_JOINERS: Final = "\u200c\u200d"  # invisible too, but parts of emoji: removed only after emoji are replaced
_NEWLINES: Final = re.compile(r"\n\n+")
_URLS: Final = tuple(re.compile(rf"{begin}[^\s<>\"'가-힣\0]+") for begin in (r"https?://", r"www\."))
_DOMAINS: Final = r"\.(?:com|net|org|kr|me|be|io|gg|tv|ly|co|app|dev|shop|site|xyz)/"
_BARE_URL_SIGN: Final = re.compile(_DOMAINS)
_BARE_URL: Final = re.compile(
    rf"(?<![a-z0-9@._\-])[a-z0-9\-]{{1,63}}(?:\.[a-z0-9\-]{{1,63}}){{0,3}}{_DOMAINS}[^\s<>\"'가-힣\0]*"
)
_EMPTY_PARENTHESES: Final = re.compile(r"\(\s*\)|\[\s*\]|\{\s*\}")
_MEDIA_MESSAGES: Final = media_messages(SEPARATOR)
_FILE_MESSAGES: Final = file_messages(SEPARATOR)
_STANDS_FOR: Final = {"photo": PHOTO, "movie": MOVIE, "emoji": EMOJI}
_DROPPED: Final = {"attached": ATTACHED, "deleted": DELETED, "notice": NOTICE}


def clean_all(texts: Sequence[str], hide_names: NameHider, counts: Counter[str], dropped: Counter[str]) -> list[str]:
    """The cleaned messages in their order; "" if nothing of a message is left.

    Adds the number of replacements to `counts`, by placeholder, and the number of dropped messages to `dropped`, by
    reason.
    """
    if not texts:
        return []
    # 1. One text of normalized characters.
    text = _join_normalized([text.strip() for text in texts])
    if text.count(SEPARATOR) > len(texts) + 1:  # a message contains the separator
        text = _join_normalized([text.replace(SEPARATOR, "").strip() for text in texts])
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.lower()
    damaged = text.count("\ufffd")
    if damaged:
        dropped[DAMAGED] += damaged
    text = _INVISIBLE.sub("", text)
    text = _NEWLINES.sub("\n", text)
    # 2. What the messenger wrote, links and emoji.
    text = _MEDIA_MESSAGES.sub(lambda found: _replace_media(found, counts, dropped), text)
    if has_file_messages(text):
        text = _FILE_MESSAGES.sub(lambda found: _replace_media(found, counts, dropped), text)
    if _KAKAO_EMOTICON in text:
        counts[EMOJI] += text.count(_KAKAO_EMOTICON)
        text = text.replace(_KAKAO_EMOTICON, f"{EMOJI} ")
    text = _replace_urls(text, counts)
    text = _replace_emoji(text, counts)
    # 3. Private data, repeated characters, empty brackets, names.
    text = hide_private(text, counts)
    text = _shorten_runs(text)
    text = _EMPTY_PARENTHESES.sub("", text)
    text, hidden = hide_names(text)
    if hidden:
        counts[NAME] += hidden
    return [text.strip() for text in text[1:-1].split(SEPARATOR)]


def _join_normalized(texts: Sequence[str]) -> str:
    """All messages in NFC, with a separator before and after each.

    A few are normalized at a time, because text that is in NFC already, as most is, costs next to nothing.
    """
    groups = (texts[start : start + _NORMALIZED_AT_ONCE] for start in range(0, len(texts), _NORMALIZED_AT_ONCE))
    parts = [unicodedata.normalize("NFC", SEPARATOR.join(group)) for group in groups]
    return f"{SEPARATOR}{SEPARATOR.join(parts)}{SEPARATOR}"


def _replace_media(found: re.Match[str], counts: Counter[str], dropped: Counter[str]) -> str:
    kind = str(found.lastgroup)
    if kind in _DROPPED:
        dropped[_DROPPED[kind]] += 1
        return SEPARATOR
    counts[_STANDS_FOR[kind]] += 1
    return SEPARATOR + _STANDS_FOR[kind]


def _replace_urls(text: str, counts: Counter[str]) -> str:
    for pattern in _URLS:
        text = replace_counted(pattern, URL, text, counts)
    if _BARE_URL_SIGN.search(text):
        text = replace_counted(_BARE_URL, URL, text, counts)
    return text


def _replace_emoji(text: str, counts: Counter[str]) -> str:
    if "<:" in text or "<a:" in text:
        text = replace_counted(_DISCORD_EMOJI, EMOJI, text, counts)
    if _KEYCAP_SIGN in text:
        text = _KEYCAP.sub("\U0001f51f", text)  # one plain emoji, so that a run becomes one placeholder
    text = replace_counted(_EMOJI_RUN, EMOJI, text, counts)
    for joiner in _JOINERS:
        text = text.replace(joiner, "")
    return text


def _shorten_runs(text: str) -> str:
    """Shorten each run of more than five equal characters to five, except runs of spaces: `ㅋㅋㅋㅋㅋㅋㅋ`."""
    # As an array of code points, because `re` is slow at runs of any character.
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    is_same = codes[1:] == codes[:-1]
    is_sixth = is_same[4:] & is_same[3:-1] & is_same[2:-2] & is_same[1:-3] & is_same[:-4]  # or later
    surplus = np.flatnonzero(is_sixth) + 5
    if not len(surplus):
        return text
    different = np.unique(codes[surplus])
    spaces = [code for code in different.tolist() if chr(code).isspace() or chr(code) == SEPARATOR]
    kept = np.ones(len(codes), dtype=bool)
    kept[surplus[~np.isin(codes[surplus], spaces)]] = False
    return codes[kept].tobytes().decode("utf-32-le")
