"""Frames of the line as JSON lines, and back. Both ends use this file, so they cannot disagree.

    {"call": 7, "name": "TrainSteps", "fields": {...}}          a request, from either end
    {"answer": 7, "name": "StepsTrained", "fields": {...}}      its answer
    {"refusal": 7, "fields": {"code": "...", "message": "..."}}  or why there is none
    {"event": "TextPiece", "fields": {...}}                     a report, from either end
    {"stop": true}                                              the agent wants the child to end

Bytes are written as {"base64": "..."}.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, TypeAlias

import model.line.answering
import model.line.meeting
import model.line.pace
import model.line.probing
import model.line.training  # noqa: F401 - declaring registers what the line can carry
from model.line.declare import LINE_TYPES, Call, Event
from model.line.failure import Failure
from model.line.plain import from_plain, to_plain


class LineError(ValueError):
    """The text is not a frame of this line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFrame:
    number: int
    call: Call[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFrame:
    number: int
    answer: object


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalFrame:
    number: int
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFrame:
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFrame:
    pass


Frame: TypeAlias = CallFrame | AnswerFrame | RefusalFrame | EventFrame | StopFrame


def encode_frame(frame: Frame) -> str:
    """One line of JSON, without its line feed."""
    plain: dict[str, Any]
    match frame:
        case CallFrame(number=number, call=call):
            plain = {"call": number, **_named(call)}
        case AnswerFrame(number=number, answer=answer):
            plain = {"answer": number, **_named(answer)}
        case RefusalFrame(number=number, failure=failure):
            plain = {"refusal": number, "fields": to_plain(failure)}
        case EventFrame(event=event):
            plain = {"event": type(event).__name__, "fields": to_plain(event)}
        case StopFrame():
            plain = {"stop": True}
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, default=_bytes_to_json)


def decode_frame(line: str | bytes) -> Frame:
    """Raises LineError: not JSON, an unknown name, fields that do not fit."""
    try:
        plain = json.loads(line, object_hook=_bytes_from_json)
        match plain:
            case {"call": int(number), "name": str(name), "fields": fields}:
                return CallFrame(number=number, call=_build(name, Call, fields))
            case {"answer": int(number), "name": str(name), "fields": fields}:
                return AnswerFrame(number=number, answer=_build(name, object, fields))
            case {"refusal": int(number), "fields": fields}:
                return RefusalFrame(number=number, failure=from_plain(Failure, fields))
            case {"event": str(name), "fields": fields}:
                return EventFrame(event=_build(name, Event, fields))
            case {"stop": True}:
                return StopFrame()
    except ValueError as error:  # PlainError and JSONDecodeError among them
        raise LineError(f"not a frame: {error}") from error
    raise LineError(f"not a frame: {str(plain)[:100]}")


def _named(value: object) -> dict[str, Any]:
    return {"name": type(value).__name__, "fields": to_plain(value)}


def _build(name: str, base: type, fields: Any) -> Any:
    kind = LINE_TYPES.get(name)
    if kind is None or not issubclass(kind, base):
        raise LineError(f"{name!r:.60} is no {base.__name__.lower()} of this line")
    return from_plain(kind, fields)


def _bytes_to_json(value: object) -> dict[str, str]:
    assert isinstance(value, bytes)
    return {"base64": base64.b64encode(value).decode()}


def _bytes_from_json(found: dict[str, Any]) -> Any:
    if found.keys() == {"base64"} and isinstance(found["base64"], str):
        return base64.b64decode(found["base64"], validate=True)
    return found
