"""Finding out what is wrong: the checks of `doctor`, the log."""

from __future__ import annotations

from typing import Literal

from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request, value
from model.line.sentence import Sentence


@value
class Check:
    """The result of one check."""

    id: str
    verdict: Literal["ok", "warning", "error", "skipped"]
    detail: Sentence
    fix: Sentence | None = None


@message
class ChecksRun:
    checks: tuple[Check, ...]


@request(asked_by="member", size="small")
class RunChecks(Request[ChecksRun]):
    """Check your device, and whether each pair of devices can reach each other."""


@message
class LogLines:
    lines: tuple[str, ...]


@request(asked_by="member", size="small")
class ReadLog(StreamRequest[LogLines]):
    """Send the last `tail` lines of your log, and with `follow` the new ones as they are written."""

    tail: int
    since_seconds: float | None = None
    follow: bool = False
