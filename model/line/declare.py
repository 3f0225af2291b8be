"""How a value of the line is declared: a frozen dataclass, known on the line by the name of its class.

A `Call` is a request and names the type of its answer; an `Event` is a report without an answer. Both ends may call.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Generic, TypeVar, dataclass_transform, get_args

A = TypeVar("A")
C = TypeVar("C")

LINE_TYPES: dict[str, type[Any]] = {}  # every call, answer and event, by its name on the line


class Call(Generic[A]):
    """A request. The other end answers with an `A`, or refuses with a `Failure`."""

    __slots__ = ()


class Event:
    """A report that expects no answer."""

    __slots__ = ()


@dataclass_transform(frozen_default=True, kw_only_default=True)
def line_value(cls: type[C]) -> type[C]:
    """Declare a frozen value that is part of calls, answers and events."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def line_message(cls: type[C]) -> type[C]:
    """Declare a call, an answer or an event."""
    built = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)
    LINE_TYPES[cls.__name__] = built
    return built


def answer_type(call: Call[A]) -> type[A]:
    """The type that answers `call`, as its class declares it."""
    declared: type[A] = get_args(type(call).__orig_bases__[0])[0]  # type: ignore[attr-defined] # set by typing.Generic
    return declared


@line_message
class Done:
    """The answer to a call that returns nothing."""
