"""Words a sentence in the language of the person who reads it. JSON keys, ids and codes are never translated."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping

from model.line.sentence import Sentence

_FIELD = re.compile(r"\{\w+\}")
_LONGEST_STORED = 300  # characters: the time to find the template of stored text grows with the power of its fields


def language() -> str:
    """`ko` or `en`: the language of CELLMIND_LANG, or else of the locale."""
    for name in ("CELLMIND_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "ko" if value.lower().startswith("ko") else "en"
    return "en"


def t(text: str, **values: object) -> str:
    """`text` in the person's language, with `values` in the place of its braces.

    `text` may be a Sentence that another part of the program, or another device, has made, or English text that was
    stored: its fields are found again by the catalogue's templates. What the catalogue does not have stays English.
    """
    sentence = Sentence(text, **values)
    if language() != "ko":
        return str(sentence)
    from cellmind_agent.words.korean import KOREAN, STORED  # most commands run in English, and need no catalogue

    korean = KOREAN.get(sentence.template)
    if korean is None and not sentence.fields:
        return reworded(sentence, STORED)
    if korean is None:
        return str(sentence)
    if not sentence.fields:
        return korean
    fields = {name: t(value) if isinstance(value, Sentence) else value for name, value in sentence.fields.items()}
    return _filled(korean, fields)


def reworded(text: str, korean: Mapping[str, str], of_field: Callable[[str], str] = str) -> str:
    """Stored English text in Korean: by the template of `korean` with the most literal characters that it fits.

    `of_field` words what the text has in the place of a field. Text that fits no template stays.
    """
    if len(text) > _LONGEST_STORED:
        return str(text)
    fitting = [template for template in korean if _may_fit(template, text) and _pattern(template).fullmatch(text)]
    if not fitting:
        return str(text)
    template = max(fitting, key=lambda one: len(_FIELD.sub("", one)))
    found = _pattern(template).fullmatch(text)
    assert found
    return _filled(korean[template], {name: of_field(value) for name, value in found.groupdict().items()})


def _filled(korean: str, fields: Mapping[str, str]) -> str:
    from cellmind_agent.words.particles import filled_with_particles

    return filled_with_particles(korean, lambda field: fields.get(field[1:-1]))


def _may_fit(template: str, text: str) -> bool:
    """Whether the text has all that stands between the fields. Few texts do, and a pattern takes long to compile."""
    return "{" in template and all(piece in text for piece in _FIELD.split(template))


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    """What the template can become. A name that stands in it twice is found at its first place."""
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match[1]
        again = name in seen
        seen.add(name)
        return f"(?P={name})" if again else f"(?P<{name}>.+?)"

    parts = re.split(r"(\{\w+\})", template)
    return re.compile(
        "".join(re.sub(r"^\{(\w+)\}$", group, part) if part[:1] == "{" else re.escape(part) for part in parts),
        re.DOTALL,
    )
