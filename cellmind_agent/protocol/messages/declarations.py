"""How messages are declared. Owns the registries of messages and requests; knows no message.

A request is declared once, on its class: its answer, who may ask it and how large it may be.

    @request(asked_by="member", size="small")
    class GetKeyring(Request[Keyring]):
        ...

Permissions, the checks of `codec` and `reception`, the types of `Link` and `Client`, and the tables of PROTOCOL.md all
follow from this declaration.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin

from cellmind_agent.protocol.limits import MAX_FRAME_BYTES, MAX_SMALL_REQUEST_BYTES

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["MESSAGE_TYPES", "REQUESTS", "CallerKind", "Declaration", "Request", "StreamRequest"]

C = TypeVar("C")
A = TypeVar("A", covariant=True)

# A stranger proved a key that is not in the keyring; a local caller proved the key of this home's `agent.json`.
CallerKind = Literal["stranger", "former", "member", "local"]
SizeClass = Literal["small", "large"]
MAX_BYTES_BY_SIZE: dict[SizeClass, int] = {"small": MAX_SMALL_REQUEST_BYTES, "large": MAX_FRAME_BYTES}


class Request(Generic[A]):
    """A message that gets one answer, an `A`. If `A` is Done, the end of the exchange is the answer."""

    __slots__ = ()


class StreamRequest(Generic[A]):
    """A message that gets any number of answers, each an `A`, until the stream ends."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What one request declares. `answers` are the classes that an answer may have."""

    name: str
    answers: tuple[type, ...]
    is_stream: bool
    asked_by: CallerKind
    size: SizeClass

    @property
    def max_bytes(self) -> int:
        """The largest encoded request that is accepted."""
        return MAX_BYTES_BY_SIZE[self.size]


MESSAGE_TYPES: dict[str, type[Any]] = {}  # by the name on the wire, which is the name of the class
REQUESTS: dict[type, Declaration] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[C]) -> type[C]:
    """Declare a frozen value that is part of messages."""
    # One `repr` for all: dataclass would compile one for each, a tenth of the start of every command.
    cls.__repr__ = _repr  # type: ignore[method-assign, assignment]
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(cls: type[C]) -> type[C]:
    """Declare a message that is not a request: an answer, an event, an end."""
    built = value(cls)
    MESSAGE_TYPES[cls.__name__] = built
    return built


@dataclass_transform(frozen_default=True, kw_only_default=True)
def request(*, asked_by: CallerKind, size: SizeClass) -> Callable[[type[C]], type[C]]:
    """Declare a request, a subclass of `Request[Answer]` or `StreamRequest[Answer | ...]`.

    `asked_by` is the one kind of caller that may ask it; a local caller may also ask what members may.
    """

    def declare(cls: type[C]) -> type[C]:
        built = message(cls)
        answers, is_stream = _declared_answers(built)
        REQUESTS[built] = Declaration(
            name=cls.__name__, answers=answers, is_stream=is_stream, asked_by=asked_by, size=size
        )
        return built

    return declare


def _repr(self: DataclassInstance) -> str:
    fields = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self))
    return f"{type(self).__qualname__}({fields})"


def _declared_answers(cls: type) -> tuple[tuple[type, ...], bool]:
    (base,) = (base for base in vars(cls)["__orig_bases__"] if get_origin(base) in (Request, StreamRequest))
    (answer,) = get_args(base)
    is_union = get_origin(answer) in (Union, types.UnionType)
    return (get_args(answer) if is_union else (answer,)), get_origin(base) is StreamRequest
