"""The error that every room of `tokenizer` raises. It knows no exit codes: the command line assigns those."""

from __future__ import annotations


class TextError(Exception):
    """The text, the tokenizer or the shards cannot be used.

    `message` says what is wrong, and `hint` says what the user can do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __reduce__(self) -> tuple[type[TextError], tuple[str, str]]:
        """Pickle both arguments, so that a worker process can raise this error in the main process."""
        return type(self), (self.message, self.hint)


class VocabularyTooSmallError(TextError):
    """The characters of the text need more pieces than the vocabulary has."""
