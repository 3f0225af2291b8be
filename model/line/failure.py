"""Why a call failed, as a code that programs compare and a message that people read."""

from __future__ import annotations

from typing import Literal

from model.line.declare import line_value
from model.line.sentence import Sentence

FailureCode = Literal[
    "peer_lost",  # another member of the run went away: the cause is there, not here
    "bad_data",  # the configuration, the text or the checkpoint cannot be used
    "out_of_memory",
    "disk_full",
    "diverged",  # the loss is no longer a number
    "failed",  # anything else
]


@line_value
class Failure:
    """The refusal of a call. `hint` is empty if there is nothing to do about it."""

    code: FailureCode
    message: Sentence
    hint: Sentence = Sentence("")

    @property
    def advice(self) -> Sentence:
        """The message, and in brackets the hint."""
        if not self.hint:
            return self.message
        return Sentence("{problem} ({hint})", problem=self.message, hint=self.hint)


class CallFailedError(Exception):
    """The other end of the line refused a call."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
