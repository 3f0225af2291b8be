"""The error that every room of `tokenizer` raises. It knows no exit codes: the command line assigns those."""

from __future__ import annotations

import re


class TextError(Exception):
    """The text, the tokenizer or the shards cannot be used.

    `message` says what is wrong, and `hint` says what the user can do about it: templates with the names of `fields` in
    braces, so that the sentences can be worded in another language.
    """

    def __init__(self, message: str, hint: str, **fields: object) -> None:
        self.fields = {name: str(value) for name, value in fields.items()}
        super().__init__(re.sub(r"\{(\w+)\}", lambda found: self.fields.get(found[1], found[0]), message))
        self.message, self.hint = message, hint

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle all arguments, so that a worker process can raise this error in the main process."""
        return _rebuilt, (type(self), self.message, self.hint, self.fields)


class UnreadableFileError(TextError):
    """A file or folder that a person named is not there, or cannot be read."""


class VocabularyTooSmallError(TextError):
    """The characters of the text need more pieces than the vocabulary has."""


def _rebuilt(kind: type[TextError], message: str, hint: str, fields: dict[str, str]) -> TextError:
    return kind(message, hint, **fields)
