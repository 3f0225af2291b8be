"""Everything that can go wrong in a child, as one tree, and its form on the line to the agent. No torch.

ModelError
├── ConfigError        the configuration is impossible
├── CheckpointError    a checkpoint cannot be read, or does not fit
├── DivergedError      the loss is no longer a number
├── MemoryLimitError   the trainer has taken more memory than its device allows
├── NotFiniteError     this member computes values that are not finite, and others do not
├── PeerLostError      another member of the process group is gone
├── StateLostError     this member does not hold the state to go on from
└── StateRefusedError  the others cannot train with the state of this member

Codes follow from where an error was raised and from its type, never from the words of a library.
"""

from __future__ import annotations

import errno
import sys
from typing import ClassVar

from model.line.failure import CallFailedError, Failure, FailureCode
from model.line.sentence import Sentence
from tokenizer.errors import TextError

_MAX_MESSAGE_CHARACTERS = 400


class ModelError(Exception):
    """`message` says what happened, `hint` what to do next. Both are templates for `fields`."""

    code: ClassVar[FailureCode] = "failed"

    def __init__(self, message: str, hint: str = "", **fields: object) -> None:
        self.message, self.hint = Sentence(message, **fields), Sentence(hint, **fields)
        super().__init__(self.message)


class ConfigError(ModelError):
    """The configuration is impossible: an unknown key, a wrong type, a value out of range."""

    code = "bad_data"


class CheckpointError(ModelError):
    """A checkpoint cannot be read, or does not fit the model."""

    code = "bad_data"


class DivergedError(ModelError):
    """The loss is no longer a number, for any member that had a part of the step."""

    code = "diverged"


class MemoryLimitError(ModelError):
    """The trainer has taken more memory than its device allows."""

    code = "out_of_memory"


class NotFiniteError(ModelError):
    """The loss or gradient of this member is not finite, and those of others are: its device is at fault."""


class PeerLostError(ModelError):
    """The round or the meeting failed because of another member: it is gone, out of step, or at fault."""

    code = "peer_lost"


class StateLostError(ModelError):
    """This member holds the state after another step than the run goes on from."""

    def __init__(self, step: int) -> None:
        super().__init__("this member does not hold the state after step {step}", step=step)


class StateRefusedError(ModelError):
    """The training state of this member has another form than that of the others, is not finite, or came damaged."""


def failure_of(error: Exception) -> Failure:
    """The failure that stands for `error` on the line: its code, and one line of text for people."""
    match error:
        case ModelError():
            return Failure(code=_code(error), message=error.message, hint=error.hint)
        case TextError():
            message, hint = Sentence(error.message, **error.fields), Sentence(error.hint, **error.fields)
            return Failure(code=_code(error), message=message, hint=hint)
    return Failure(code=_code(error), message=Sentence(_first_line(error)))


def _code(error: Exception) -> FailureCode:
    match error:
        case ModelError():
            return error.code
        case TextError():
            return "bad_data"
        case CallFailedError():  # a trainer asks its agent only for what concerns the meeting with the others
            return "peer_lost"
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "disk_full"
        case MemoryError():
            return "out_of_memory"
    torch = sys.modules.get("torch")  # if it was never imported, its errors were never raised
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    return "failed"


def _first_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:_MAX_MESSAGE_CHARACTERS]
