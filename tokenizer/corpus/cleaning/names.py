"""Replaces people's names by `<NAME>`: full names and given names, longest first. Pure.

A name must end a word, but Korean particles and titles may follow it: `길동이가` and `길동씨한테` match, `길동무` does
not. A given name of two syllables must also begin a word; a full name may stand in the middle of one. Every word after
an @ counts as a name, except words such as `@all`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from tokenizer.corpus.cleaning.patterns import any_of
from tokenizer.placeholders import NAME

NameHider = Callable[[str], tuple[str, int]]  # takes a text; returns it without names, and how many it had

_FULL_NAME: Final = re.compile("[가-힣]{3}")
_HANGUL_WORD: Final = re.compile("[가-힣]+")
_PARTS: Final = re.compile(r"[^\W\d_]+")
_MAX_NAME_CHARACTERS: Final = 64
_SURNAMES: Final = frozenset(
    "김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하곽성차주우구민류나진지엄채원천방공현함변염여추도소석선설마길연위표명기반"
    "왕금옥육인맹제모탁국어은편용예봉경사부"
)
_LONG_SURNAMES: Final = ("남궁", "황보", "제갈", "사공", "선우", "독고", "서문", "동방")
_TITLES: Final = "님 씨 형 누나 오빠 언니 쌤 선생님 선배 네 들"
_PARTICLES: Final = """
아 야 이 은 는 가 을 를 의 도 만 와 과 랑 하고 에게 에게서 한테 한테서 께 께서 보고 처럼
같이 부터 까지 로 으로 라고 이라고 라서 이라서 라는 이라는 이랑 이나 나 요 이요 예요
이예요 이에요 야말로 이다 입니다 이야 이지 인데 이고 이니 였어 이었어 여
"""
_ENDINGS: Final = f"{_TITLES} {_PARTICLES}".split()
_WORD_END: Final = rf"(?={any_of(_ENDINGS)}*(?![가-힣\w]))"
_ONLY_ENDINGS: Final = re.compile(rf"{any_of(_ENDINGS)}+")
_EVERYBODY: Final = "all|here|everyone|channel|모두|전체|여러분"
# The lookbehind excludes an @ inside a word, as in an e-mail address.
_MENTION: Final = re.compile(rf"@(?<![\w.+\-]@)(?!(?:{_EVERYBODY})\b)[^\W\d][\w.\-]{{0,40}}")


def names_from_users(users: Iterable[str], given_names: Iterable[str] = ()) -> set[str]:
    """Every name to hide, in lower case.

    These are each user with and without spaces, the names inside decorated ones (`홍길동/서울`), the given name of each
    name of three syllables, and `given_names`.
    """
    names: set[str] = set()
    for user in users:
        user = unicodedata.normalize("NFC", user).lower().strip()
        names |= {user, "".join(user.split())}  # a user `홍 길동` is `홍길동` in a text
        names |= _inner_names(user)
    for full in [name for name in names if _FULL_NAME.fullmatch(name)]:
        names.add(full[1:])  # most Korean surnames have one syllable, and most given names two
    names |= {"".join(unicodedata.normalize("NFC", name).lower().split()) for name in given_names}
    return {name for name in names if _is_name(name)}


def name_hider(names: Iterable[str]) -> NameHider:
    """A function that replaces the names in a cleaned text (lower case, NFC), and every mention with an @."""
    known = {name for name in names if _is_name(name)}
    pattern = re.compile(any_of(known, _ending) + _WORD_END) if known else None

    def hide(text: str) -> tuple[str, int]:
        hidden = mentioned = 0
        if pattern:
            text, hidden = pattern.subn(NAME, text)
        if "@" in text:
            text, mentioned = _MENTION.subn(f"@{NAME}", text)
        return text, hidden + mentioned

    return hide


def possible_names(word: str) -> list[str]:
    """The names that a word may contain: the word itself, and the word without the particles and titles at its end."""
    return [word, *(word[:end] for end in range(2, len(word)) if _ONLY_ENDINGS.fullmatch(word, end))]


def keep_names(text: str) -> tuple[str, int]:
    """Hide nothing: the function to use instead of a `name_hider` when names stay."""
    return text, 0


def _inner_names(user: str) -> set[str]:
    """Parts of a display name that are names: in `홍길동(개발팀)` the first one, in `John Smith` both."""
    parts = _PARTS.findall(user)
    names = set()
    for part in parts:
        if _HANGUL_WORD.fullmatch(part):
            if len(part) == 4 and part.startswith(_LONG_SURNAMES):
                names |= {part, part[2:]}
            elif len(part) == 3 and part[0] in _SURNAMES:
                names.add(part)
        elif len(parts) > 1 and len(part) > 2:
            names.add(part)
    return names


def _is_name(name: str) -> bool:
    """Whether to hide this name. Laughter such as ㅋㅋ may be a user's name, but hiding it would damage every text."""
    letters = {character for character in name if character.isalpha()}
    is_laughter = all("ㄱ" <= character <= "ㅣ" for character in letters)
    return 1 < len(name) <= _MAX_NAME_CHARACTERS and bool(letters) and not is_laughter and "\n" not in name


def _ending(name: str) -> str:
    """A lookbehind for the characters before the name.

    It stands after the name, because `re` is fast only if a pattern begins with plain characters.
    """
    if not _HANGUL_WORD.fullmatch(name):
        return rf"(?<![^\W가-힣].{{{len(name)}}})"
    return "(?<![가-힣]..)" if len(name) < 3 else ""
