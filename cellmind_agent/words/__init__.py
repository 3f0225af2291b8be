"""Words a sentence in the language of the person who reads it. JSON keys, ids and codes are never translated."""

from __future__ import annotations

import os

from model.line.sentence import Sentence, filled


def language() -> str:
    """`ko` or `en`: the language of CELLMIND_LANG, or else of the locale."""
    for name in ("CELLMIND_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "ko" if value.lower().startswith("ko") else "en"
    return "en"


def t(text: str, **values: object) -> str:
    """`text` in the person's language, with `values` in the place of its braces.

    `text` may be a Sentence that another part of the program, or another device, has made. What the catalogue does not
    have stays English.
    """
    sentence = Sentence(text, **values)
    if language() != "ko":
        return str(sentence)
    from cellmind_agent.words.korean import KOREAN  # most commands run in English, and need no catalogue

    korean = KOREAN.get(sentence.template)
    if korean is None:
        return str(sentence)
    fields = {name: t(value) if isinstance(value, Sentence) else value for name, value in sentence.fields.items()}
    return filled(korean, fields)
