"""The configuration's file: JSON with comments, read into `Config` and written. Imports no torch.

An unknown key is an error with a suggestion. Keys that an older guide needed, and that nothing needs now, are ignored
and named in `Config.ignored`. The value "auto" is the same as no value.
"""

from __future__ import annotations

import dataclasses
import json
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from model.config import Config, suggestion
from model.errors import ConfigError
from model.line.sentence import Sentence

C = TypeVar("C")
AUTO = "auto"
_BOOKKEEPING = ("ignored", "given")  # fields of `Config` that are no keys of the file
_NOT_NEEDED = ("init_method", "world_size", "worker_ips", "usernames")  # of "distributed": agents find these out
# Strings (first, so that what looks like a comment inside one stays), comments, and commas before a closing bracket.
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=\s*(?:(?://[^\n]*|/\*.*?\*/)\s*)*[}\]])', re.DOTALL)


def load_config(path: Path, backends: Collection[str] | None = None) -> Config:
    """The configuration in a file; see `parse_config`.

    Raises ConfigError: no such file, not JSON, an unknown key, a wrong type, an impossible value or combination.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(
            "{path} does not exist", "name a configuration file, or leave it out for the defaults", path=path
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("{path} cannot be read as text", "check the name", path=path) from error
    return parse_config(text, str(path), backends)


def parse_config(text: str, name: str = "the configuration", backends: Collection[str] | None = None) -> Config:
    """The configuration in a text that errors call `name`. Raises ConfigError.

    `backends` are the allowed values of `distributed.backend`. The model does not know them: None allows any name.
    """
    try:
        plain = json.loads(strip_comments(text))
    except ValueError as error:
        raise ConfigError(
            "{name} is not JSON: {error}", "check the commas and quotes around that place", name=name, error=error
        ) from error
    if not isinstance(plain, dict):
        raise ConfigError("{name} is no JSON object", 'begin with { "model": { ... } }', name=name)
    distributed = plain.get("distributed")
    ignored: tuple[str, ...] = ()
    if isinstance(distributed, dict):
        ignored = tuple(f"distributed.{key}" for key in _NOT_NEEDED if key in distributed)
        plain["distributed"] = {key: value for key, value in distributed.items() if key not in _NOT_NEEDED}
    for name in _BOOKKEEPING:
        if name in plain:
            raise ConfigError("unknown key {name}", "remove it", name=name)
    given = frozenset(_given(plain))
    config = dataclasses.replace(_build(Config, plain, ""), ignored=ignored, given=given)
    if backends is not None and config.distributed.backend not in backends:
        hint = suggestion(config.distributed.backend, backends)
        raise ConfigError("distributed.backend is {backend}", hint, backend=f"{config.distributed.backend!r}")
    return config


def strip_comments(text: str) -> str:
    """The text with spaces instead of comments and trailing commas. Positions stay, so those in error messages fit."""

    def blank(match: re.Match[str]) -> str:
        token = match[0]
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    return _TOKEN.sub(blank, text)


def to_json(config: Config) -> str:
    """JSON that `parse_config` reads back as an equal configuration, without `ignored` and with all keys given."""
    return json.dumps(to_plain(config), indent=1, sort_keys=True, ensure_ascii=False)


def to_plain(config: Config) -> dict[str, object]:
    """The keys of the file, with their values as JSON values."""
    return {key: value for key, value in dataclasses.asdict(config).items() if key not in _BOOKKEEPING}


def _given(plain: Mapping[str, object], section: str = "") -> Iterator[str]:
    """The keys with a value other than `auto`, each with its sections: `model.d_model`."""
    for key, value in plain.items():
        if isinstance(value, dict):
            yield from _given(value, f"{section}{key}.")
        elif value != AUTO:
            yield f"{section}{key}"


def _build(kind: type[C], plain: Any, where: str) -> C:
    if not isinstance(plain, dict):
        raise ConfigError(
            "{where} is {kind}, an object was expected",
            '"{key}": { ... }',
            where=where,
            kind=_kind_of(plain),
            key=where.rpartition(".")[2],
        )
    hints = typing.get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind) if f.name not in _BOOKKEEPING]  # type: ignore[arg-type]
    values = {}
    for key, value in plain.items():
        place = f"{where}.{key}" if where else key
        if key not in known:
            raise ConfigError("unknown key {place}", suggestion(key, known), place=place)
        if value != AUTO or hints[key] is str:  # "auto" is a value of some strings, such as the backend
            values[key] = _value(hints[key], value, place)
    return kind(**values)


def _value(kind: Any, value: Any, place: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast("type[Any]", kind), value, place)
    origin, choices = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _value(next(c for c in choices if c is not type(None)), value, place)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(
            "{place} is {kind}, {expected} was expected",
            "write {place} without quotes" if isinstance(value, str) else "see: cellmindctl config show",
            place=place,
            kind=_kind_of(value),
            expected=_NAMES[kind],
        )
    return value


_NAMES: Mapping[type, Sentence] = {
    int: Sentence("a whole number"),
    float: Sentence("a number"),
    str: Sentence("a string"),
    bool: Sentence("true or false"),
    list: Sentence("a list"),
    dict: Sentence("an object"),
    type(None): Sentence("null"),
}


def _kind_of(value: Any) -> Sentence:
    return _NAMES[type(value)]  # JSON has no other types
