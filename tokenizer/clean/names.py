"""People's names to `<NAME>`: full names and given names, longest first, aware of Korean particles. Pure.

A name counts where it stands as a word, particles and titles apart: `길동이가`, `길동씨한테`, but not in `길동무`.
Two-syllable given names are also refused in the middle of a Hangul word; a full name is found there too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from tokenizer.clean.rules import NAME

_FULL_NAME: Final = re.compile("[가-힣]{3}")
_HANGUL_WORD: Final = re.compile("[가-힣]+")
_TITLES: Final = "님 씨 형 누나 오빠 언니 쌤 선생님 선배 네 들"
_PARTICLES: Final = """
아 야 이 은 는 가 을 를 의 도 만 와 과 랑 하고 에게 에게서 한테 한테서 께 께서 보고 처럼
같이 부터 까지 로 으로 라고 이라고 라서 이라서 라는 이라는 이랑 이나 나 요 이요 예요
이예요 이에요 야말로 이다 입니다 이야 이지 인데 이고 이니 였어 이었어 여
"""
_ENDINGS: Final = f"{_TITLES} {_PARTICLES}".split()
_AFTER: Final = rf"(?=(?:{'|'.join(sorted(_ENDINGS, key=len, reverse=True))})*(?![가-힣\w]))"


def names_from_users(users: Iterable[str], given_names: Iterable[str] = ()) -> set[str]:
    """Every name to hide: each user without spaces, the given name of each three-syllable one, and the extra ones."""
    names = set()
    for user in users:
        name = _tidy(user)
        names.add(name)
        if _FULL_NAME.fullmatch(name):
            names.add(name[1:])
    names |= {_tidy(name) for name in given_names}
    return {name for name in names if len(name) > 1 and any(c.isalpha() for c in name)}


def name_hider(names: Iterable[str]) -> Callable[[str], tuple[str, int]]:
    """A function from a cleaned (lower-case, NFC) text to (text without the names, how many were hidden)."""
    ordered = sorted(names, key=lambda name: (-len(name), name))
    if not ordered:
        return lambda text: (text, 0)
    alternatives = "|".join(_before(name) + re.escape(name) for name in ordered)
    pattern = re.compile(f"(?:{alternatives}){_AFTER}")
    return lambda text: pattern.subn(NAME, text)


def _before(name: str) -> str:
    if not _HANGUL_WORD.fullmatch(name):
        return r"(?<![^\W가-힣])"
    return "(?<![가-힣])" if len(name) < 3 else ""


def _tidy(name: str) -> str:
    return "".join(unicodedata.normalize("NFC", name).lower().split())
