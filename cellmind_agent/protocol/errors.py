"""All errors of CellMind, as one tree, with their exit codes and wire codes. Does no I/O.

CellmindError                     1 failed
├── UsageError                    2 wrong usage
│   └── BadIdError
├── UnreachableError              3 no agent reachable
│   ├── NoAgentsFoundError
│   └── LinkLostError
├── NotAllowedError               4 not paired or not allowed
│   ├── NotPairedError
│   └── JoinRefusedError
├── UnknownNameError              5 no such device, run or model
├── DegradedError                 6 finished but degraded
├── TimedOutError                 7 timed out
├── ProtocolError
│   └── VersionMismatchError
├── StorageFullError
├── BlobDamagedError
├── HomeLockedError
├── JobFailedError
├── MemberLostError
├── GroupBrokenError
├── SupersededError
└── BusyError
"""

from __future__ import annotations

from typing import ClassVar

from model.line.sentence import Sentence


class CellmindError(Exception):
    """Something failed. The message says what happened; the hint, what to do next. Both are templates for `fields`."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = "see the agent's log: cellmindctl logs"

    def __init__(self, message: str, hint: str | None = None, **fields: object) -> None:
        self.message = Sentence(message, **fields)
        self.hint = Sentence(self.default_hint if hint is None else hint, **fields)
        super().__init__(self.message)


class UsageError(CellmindError):
    """The command or its configuration is wrong."""

    code, exit_code, default_hint = "usage", 2, "cellmindctl --help"


class BadIdError(UsageError):
    """A device, run or blob id is misspelt."""

    code, default_hint = "bad_id", "cellmindctl peers --wide"


class UnreachableError(CellmindError):
    """Nothing answers at the address."""

    code, exit_code, default_hint = "unreachable", 3, "cellmindctl doctor"


class NoAgentsFoundError(UnreachableError):
    """No agent runs here."""

    code, default_hint = "no_agent", "start one: cellmind-agent"


class LinkLostError(UnreachableError):
    """The connection to the other side was lost during a request."""

    code, default_hint = "link_lost", "cellmindctl peers"


class NotAllowedError(CellmindError):
    """The other side knows us and refuses the request."""

    code, exit_code, default_hint = "not_allowed", 4, "ask an owner of the cell; see: cellmindctl peers --wide"


class NotPairedError(NotAllowedError):
    """The device is not in the keyring."""

    code, default_hint = "not_paired", "on an owner's device: cellmindctl invite; here: cellmindctl join"


class JoinRefusedError(NotAllowedError):
    """The join code is wrong, used up or out of date."""

    code, default_hint = "join_refused", "ask for a new code: cellmindctl invite"


class UnknownNameError(CellmindError):
    """No such device, run, blob or model."""

    code, exit_code, default_hint = "unknown_name", 5, "cellmindctl peers; cellmindctl runs; cellmindctl models"


class DegradedError(CellmindError):
    """The command ended, but not on every device as asked."""

    code, exit_code, default_hint = "degraded", 6, "cellmindctl peers, then try again"


class TimedOutError(CellmindError):
    """The answer did not come in time."""

    code, exit_code, default_hint = "timed_out", 7, "try again, or give more time: cellmindctl --timeout SECONDS"


class ProtocolError(CellmindError):
    """The bytes are not a valid message, or the message is not valid here."""

    code, default_hint = "protocol", "update CellMind on both devices: cellmindctl update"


class VersionMismatchError(ProtocolError):
    """The other side speaks another version of the protocol."""

    code = "version"


class StorageFullError(CellmindError):
    """The disk, or the part of it that CellMind may use, is full."""

    code, default_hint = "storage_full", "free some space, or remove an old model: cellmindctl models rm NAME"


class BlobDamagedError(CellmindError):
    """The received bytes do not have the hash that names the blob."""

    code, default_hint = "blob_damaged", "try again; another device will be asked"


class HomeLockedError(CellmindError):
    """Another agent already uses this home."""

    code, default_hint = "home_locked", "stop the other one first, or give this one its own: cellmind-agent --home DIR"


class JobFailedError(CellmindError):
    """A child process failed."""

    code = "job_failed"


class MemberLostError(CellmindError):
    """A device that took part in the run was lost."""

    code, default_hint = "member_lost", "cellmindctl resume RUN continues from the last checkpoint"


class GroupBrokenError(CellmindError):
    """The process group of a run does not work any more: some member is gone, or a connection between two is."""

    code = "group_broken"


class SupersededError(CellmindError):
    """Another device leads the run: in a higher term, or because its leader is still there."""

    code = "superseded"


class BusyError(CellmindError):
    """The device is already doing this, or too much at once."""

    code, default_hint = "busy", "cellmindctl runs; cellmindctl stop RUN"


def _tree(root: type[CellmindError]) -> dict[str, type[CellmindError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found.update(_tree(child))
    return found


ERROR_BY_CODE = _tree(CellmindError)


def error_from_wire(code: str, message: str, hint: str) -> CellmindError:
    """The exception of a wire code; the root for an unknown code, which a newer peer may send."""
    return ERROR_BY_CODE.get(code, CellmindError)(message, hint)
