"""People's names to `<NAME>`: full names and given names, longest first, aware of Korean particles. Pure.

A name counts where it stands as a word, particles and titles apart: `길동이가`, `길동씨한테`, but not in `길동무`.
Two-syllable given names are also refused in the middle of a Hangul word; a full name is found there too. What follows
an @ is a name in any case.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from tokenizer.clean.words import any_of

_FULL_NAME: Final = re.compile("[가-힣]{3}")
_HANGUL_WORD: Final = re.compile("[가-힣]+")
_PARTS: Final = re.compile(r"[^\W\d_]+")
_LONGEST_NAME: Final = 64
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
_AFTER: Final = rf"(?={any_of(_ENDINGS)}*(?![가-힣\w]))"
_ONLY_ENDINGS: Final = re.compile(rf"{any_of(_ENDINGS)}+")
_EVERYBODY: Final = "all|here|everyone|channel|모두|전체|여러분"
_MENTION: Final = re.compile(rf"@(?<![\w.+\-]@)(?!(?:{_EVERYBODY})\b)[^\W\d][\w.\-]{{0,40}}")


def names_from_users(users: Iterable[str], given_names: Iterable[str] = ()) -> set[str]:
    """Every name to hide: each user with and without spaces, names inside decorated ones (`홍길동/서울`), the given
    name of each three-syllable one, and the extra ones."""
    names: set[str] = set()
    for user in users:
        user = unicodedata.normalize("NFC", user).lower().strip()
        names |= {user, "".join(user.split())}
        names |= _inner_names(user)
    for full in [name for name in names if _FULL_NAME.fullmatch(name)]:
        names.add(full[1:])
    names |= {"".join(unicodedata.normalize("NFC", name).lower().split()) for name in given_names}
    return {name for name in names if _is_name(name)}


def name_hider(names: Iterable[str]) -> Callable[[str], tuple[str, int]]:
    """A function from a cleaned (lower-case, NFC) text to (text without the names, how many were hidden)."""
    known = {name for name in names if _is_name(name)}
    pattern = re.compile(any_of(known, _ending) + _AFTER) if known else None

    def hide(text: str) -> tuple[str, int]:
        hidden = mentioned = 0
        if pattern:
            text, hidden = pattern.subn("<NAME>", text)
        if "@" in text:
            text, mentioned = _MENTION.subn("@<NAME>", text)
        return text, hidden + mentioned

    return hide


def possible_names(word: str) -> list[str]:
    """What may be the name in a word, if it is one: the word, and it without particles and titles at its end."""
    return [word, *(word[:end] for end in range(2, len(word)) if _ONLY_ENDINGS.fullmatch(word, end))]


def keep_names(text: str) -> tuple[str, int]:
    """A hider that hides nothing."""
    return text, 0


def _inner_names(user: str) -> set[str]:
    """Parts of a display name that are names themselves: of a group (`홍길동(개발팀)`), or a first and a last name."""
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
    """Something that can be looked for in a text without hiding all laughter in it."""
    letters = {character for character in name if character.isalpha()}
    is_laughter = all("ㄱ" <= character <= "ㅣ" for character in letters)
    return 1 < len(name) <= _LONGEST_NAME and bool(letters) and not is_laughter and "\n" not in name


def _ending(name: str) -> str:
    """What must hold before the name, looked at from its end: so that the pattern begins with the name itself."""
    if not _HANGUL_WORD.fullmatch(name):
        return rf"(?<![^\W가-힣].{{{len(name)}}})"
    return "(?<![가-힣]..)" if len(name) < 3 else ""
