"""Values to plain values and back, with this program's error. The conversion itself is in model/line/plain."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from cellmind_agent.protocol.errors import ProtocolError
from model.line import plain as line_plain
from model.line.plain import PlainError, to_plain

__all__ = ["from_plain", "to_json", "to_plain"]
T = TypeVar("T")

# A value as plain values for scripts: a sentence is its English text.
to_json = functools.partial(to_plain, as_text=True)


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of type `kind` that `plain` describes. Raises ProtocolError."""
    try:
        return line_plain.from_plain(kind, plain)
    except PlainError as error:
        raise ProtocolError(str(error)) from error
