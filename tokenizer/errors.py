"""What can be wrong with text. Knows no exit codes: the command line has those."""

from __future__ import annotations


class TextError(Exception):
    """The text, the tokenizer or the shards cannot be used. `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __reduce__(self) -> tuple[type[TextError], tuple[str, str]]:
        """It comes back from another process whole."""
        return TextError, (self.message, self.hint)
