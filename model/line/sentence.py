"""A sentence for people: English text that keeps its template and its fields, so that it can be worded in another
language where it is shown. Knows no language but English.

On the wire and on the line: {"text": "{name} is removed from {cell}", "fields": {"name": "phone", "cell": "home"}}. A
field is a string or again a sentence. What comes from another program or device is cleaned and bounded here, and what
leaves is cut to these bounds, so that no reader refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIELD = re.compile(r"\{(\w+)\}")
_MAX_FIELDS = 32  # a sentence with more would not be read
_MAX_DEPTH = 4  # sentences in sentences: an error, its cause, the cause of that
_MAX_CHARACTERS = 16_384  # far more than anybody reads: a template could repeat its fields until the memory is full
# Control, bidirectional and invisible characters, and halves of surrogate pairs: a terminal obeys some, people do not
# see others, and UTF-8 has no surrogates, which stand for the bytes of a name that is no UTF-8.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


class Sentence(str):
    """English text, made of a template and fields. It is a `str`, and equals the plain text.

    A field's value is written as `str` writes it; format a number before. A name in braces without a field stays.
    """

    __slots__ = ("fields", "template")
    template: str
    fields: Mapping[str, str]

    def __new__(cls, template: str, /, **fields: object) -> Sentence:
        """`template` itself if it is a sentence already: that one has fields of its own."""
        if isinstance(template, Sentence):
            return template
        values = {name: value if isinstance(value, str) else str(value) for name, value in fields.items()}
        sentence = super().__new__(cls, filled(template, values))
        sentence.template, sentence.fields = str(template), values
        return sentence

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self.template, dict(self.fields))


def filled(template: str, fields: Mapping[str, str]) -> str:
    """`template` with the fields in the place of their names. Unlike `str.format` it looks up nothing else, so a
    template or a value from another device can do no harm."""
    if not fields:
        return str(template)
    return _FIELD.sub(lambda found: fields.get(found[1], found[0]), template)


def sentence_to_plain(sentence: Sentence, depth: int = 0) -> dict[str, object]:
    """The wire form of a sentence. What is too long is cut, and sentences that are too deep become plain strings."""
    if len(sentence) > _MAX_CHARACTERS or len(sentence.fields) > _MAX_FIELDS:
        return {"text": f"{sentence[: _MAX_CHARACTERS - 1]}…", "fields": {}}
    is_deep = depth + 1 >= _MAX_DEPTH
    fields: dict[str, object] = {
        name: sentence_to_plain(value, depth + 1) if isinstance(value, Sentence) and not is_deep else str(value)
        for name, value in sentence.fields.items()
    }
    return {"text": sentence.template, "fields": fields}


def sentence_from_plain(plain: object, depth: int = 0) -> Sentence:
    """The sentence of a wire form, without unprintable characters; a plain string is a sentence without fields.
    Raises ValueError."""
    if isinstance(plain, str):
        plain = {"text": plain}
    if not isinstance(plain, dict) or depth >= _MAX_DEPTH:
        raise ValueError("a sentence was expected")
    text, fields = plain.get("text"), plain.get("fields", {})
    if not isinstance(text, str) or not isinstance(fields, dict) or len(fields) > _MAX_FIELDS:
        raise ValueError("a sentence was expected")
    template = _printable(text)
    values = {
        str(name): _printable(value) if isinstance(value, str) else sentence_from_plain(value, depth + 1)
        for name, value in fields.items()
    }
    if _length(template, values) > _MAX_CHARACTERS:
        raise ValueError("the sentence is too long")
    return _rebuilt(template, values)


def _printable(text: str) -> str:
    return UNPRINTABLE.sub("", " ".join(text.replace("\t", " ").splitlines()))


def _length(template: str, values: Mapping[str, str]) -> int:
    """How long the filled template would be."""
    return len(template) + sum(len(values.get(m[1], m[0])) - len(m[0]) for m in _FIELD.finditer(template))


def _rebuilt(template: str, fields: Mapping[str, str]) -> Sentence:
    return Sentence(template, **fields)
