"""Frozen dataclasses to plain values (dict, list, str, int, float, bool, None, bytes) and back, by their annotations.

The wire (msgpack), the disk and the line to a child (JSON) share it. Unknown fields are ignored, since a newer peer may
send more. A missing field takes its default. Only types that the annotations name are ever constructed.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from model.line.sentence import Sentence, sentence_from_plain, sentence_to_plain

T = TypeVar("T")


class PlainError(ValueError):
    """The plain values do not describe the wanted type. The message names the field."""


def to_plain(value: Any, *, as_text: bool = False) -> Any:
    """`value` as plain values. A sentence keeps its fields where a `Sentence` is declared; in a field that is declared
    as `str`, and with `as_text` everywhere, it becomes its English text."""
    if isinstance(value, Sentence):
        return str(value) if as_text else sentence_to_plain(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints, _ = _shape(type(value))
        return {name: to_plain(getattr(value, name), as_text=as_text or _is_text(hints[name])) for name in hints}
    if isinstance(value, tuple | list):
        return [to_plain(item, as_text=as_text) for item in value]
    if isinstance(value, Mapping):
        return {key: to_plain(item, as_text=as_text) for key, item in value.items()}
    return value


def _is_text(hint: object) -> bool:
    """Whether a field takes a `str`, but no sentence."""
    return str in (hint, *get_args(hint))


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of type `kind` that `plain` describes. Raises PlainError."""
    result: T = _build(kind, plain, kind.__name__)
    return result


def _build(kind: Any, plain: Any, where: str) -> Any:
    if isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _build_union(get_args(kind), plain, where)
    if origin is Literal:
        if plain in get_args(kind):
            return plain
        raise PlainError(f"{where}: {plain!r:.60} is none of {', '.join(map(str, get_args(kind)))}")
    if origin is tuple:
        if not isinstance(plain, list | tuple):
            raise PlainError(f"{where}: a list was expected")
        return tuple(_build(get_args(kind)[0], item, f"{where}[]") for item in plain)
    if origin is Mapping:
        if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
            raise PlainError(f"{where}: a mapping was expected")
        return {key: _build(get_args(kind)[1], item, f"{where}.{key}") for key, item in plain.items()}
    if kind is Sentence:
        return _build_sentence(plain, where)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(cast("type[Any]", kind), plain, where)
    return _build_scalar(kind, plain, where)


def _build_union(choices: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in choices:
        return None
    others = [choice for choice in choices if choice is not type(None)]
    if len(others) == 1:
        return _build(others[0], plain, where)
    for choice in others:
        try:
            return _build(choice, plain, where)
        except PlainError:
            continue
    raise PlainError(f"{where}: {type(plain).__name__} does not fit")


def _build_sentence(plain: object, where: str) -> Sentence:
    try:
        return sentence_from_plain(plain)
    except ValueError as error:
        raise PlainError(f"{where}: {error}") from error


def _build_dataclass(kind: type[Any], plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise PlainError(f"{where}: a mapping was expected")
    hints, required = _shape(cast(Hashable, kind))
    missing = required - plain.keys()
    if missing:
        raise PlainError(f"{where}: {', '.join(sorted(missing))} missing")
    fields = {name: _build(hint, plain[name], f"{where}.{name}") for name, hint in hints.items() if name in plain}
    try:
        return kind(**fields)
    except ValueError as error:
        raise PlainError(f"{where}: {error}") from error


@functools.cache
def _shape(kind: Any) -> tuple[dict[str, Any], frozenset[str]]:
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    required = frozenset(
        f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    return {f.name: hints[f.name] for f in fields}, required


def _build_scalar(kind: Any, plain: Any, where: str) -> Any:
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if kind in (str, int, float, bool, bytes) and type(plain) is kind:
        return plain
    raise PlainError(f"{where}: {getattr(kind, '__name__', kind)} was expected, {type(plain).__name__} came")
