"""Korean particles behind the fields of a sentence. Their form depends on how the word before them ends, so the
catalogue writes both: `{name}은(는)`. Here a field's value decides; where its ending is unknown, both forms stay.

Hangul and digits are certain. Latin words follow a rule of thumb: how Korean spells English words that end like them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

Ending = Literal["vowel", "consonant", "rieul"]

# After a consonant, after a vowel. ㄹ counts as a vowel before 로, and only there.
_FORMS = {
    "은(는)": ("은", "는"),
    "이(가)": ("이", "가"),
    "을(를)": ("을", "를"),
    "과(와)": ("과", "와"),
    "와(과)": ("과", "와"),
    "(이)": ("이", ""),
    "(으)": ("으", ""),
}
_FIELD = re.compile(r"(\{\w+(?:!r)?\})(" + "|".join(map(re.escape, _FORMS)) + ")?")
_CLOSING = "'\"`’”』」》〉>])}"
_TAIL = 64  # characters: far more than the end of a value needs
_FIRST_SYLLABLE, _LAST_SYLLABLE = "\uac00", "\ud7a3"
_FINALS, _RIEUL = 28, 8  # final consonants of a syllable, with none; the place of ㄹ among them
_ENDING_BY_CHARACTER: dict[str, Ending] = {  # 영 일 이 삼 사 오 육 칠 팔 구 퍼센트; 십, 백, 천, 만 end as 영 does
    **dict.fromkeys("036", "consonant"),
    **dict.fromkeys("178", "rieul"),
    **dict.fromkeys("2459%", "vowel"),
}
_LETTERS = re.compile(r"[A-Za-z]+$")
_SPELLED_OUT = re.compile(r"[A-Z]+|[^aeiouy]+")  # GPU, PC, tv: each letter by its name
_ENDS_IN_RIEUL = re.compile(r"le?$", re.IGNORECASE)  # model, apple
# lan, home, phone, training; web, book, laptop, black. A stop after another consonant (host) becomes 스트.
_ENDS_IN_CONSONANT = re.compile(r"([mn]e?|ng|[aeiouyc][bckpqt])$", re.IGNORECASE)


def filled_with_particles(template: str, value_of: Callable[[str], str | None]) -> str:
    """`template` with the value of each field, and the particle right behind it in the form that fits the value.

    `value_of` gets a field as it is written, with its braces, and returns None for a field that stays. Values stand in
    the result as they are.
    """

    def one(found: re.Match[str]) -> str:
        value = value_of(found[1])
        if value is None:
            return found[0]
        return value + (_particle(found[2], value) if found[2] else "")

    return _FIELD.sub(one, template)


def _particle(both: str, value: str) -> str:
    end = ending(value)
    if end is None:
        return both
    is_vowel = end == "vowel" or (end == "rieul" and both == "(으)")
    return _FORMS[both][is_vowel]


def ending(value: str) -> Ending | None:
    """How `value` ends when it is read in Korean; None where that is not known."""
    word = unicodedata.normalize("NFC", _without_remark(value)[-_TAIL:]).rstrip(_CLOSING)
    last = word[-1:]
    if _FIRST_SYLLABLE <= last <= _LAST_SYLLABLE:
        final = (ord(last) - ord(_FIRST_SYLLABLE)) % _FINALS
        return "vowel" if final == 0 else "rieul" if final == _RIEUL else "consonant"
    letters = _LETTERS.search(word)
    return _latin_ending(letters[0]) if letters else _ENDING_BY_CHARACTER.get(last)


def _latin_ending(letters: str) -> Ending:
    if _SPELLED_OUT.fullmatch(letters):
        by_name: dict[str, Ending] = {"l": "rieul", "r": "rieul", "m": "consonant", "n": "consonant"}  # 엘 알 엠 엔
        return by_name.get(letters[-1].lower(), "vowel")
    if _ENDS_IN_RIEUL.search(letters):
        return "rieul"
    return "consonant" if _ENDS_IN_CONSONANT.search(letters) else "vowel"


def _without_remark(value: str) -> str:
    """`value` without a remark in brackets at its end: the particle follows the word before it."""
    return value[: value.rfind("(")].rstrip() or value if value.endswith(")") and "(" in value else value
