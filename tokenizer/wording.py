"""How the text's own reports are worded. The edge of the program passes a translator; English is the default."""

from __future__ import annotations

from typing import Protocol


class Wording(Protocol):
    """Words an English template with its values, in the language of a person."""

    def __call__(self, text: str, **values: object) -> str: ...


def english(text: str, **values: object) -> str:
    """The template itself, with its values in the place of its braces."""
    return text.format(**values) if values else text
