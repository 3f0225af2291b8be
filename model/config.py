"""The project's configuration: JSON with comments, checked when it is built. Imports no torch.

An unknown key is an error with a suggestion. Keys that an older guide needed, and that nothing needs now, are ignored
and named in `Config.ignored`. `Config.given` names the keys that have a value in the file: `model/recipe.py` chooses
the rest by the text. The value "auto" is the same as no value.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from model.errors import ConfigError

C = TypeVar("C")
OPTIMIZERS = ("muon", "adamw")
AUTO = "auto"
_BOOKKEEPING = ("ignored", "given")  # fields of `Config` that are no keys of the file
_NOT_NEEDED = ("init_method", "world_size", "worker_ips", "usernames")  # of "distributed": agents find these out
# Strings (first, so that what looks like a comment inside one stays), comments, and commas before a closing bracket.
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/|,(?=\s*(?:(?://[^\n]*|/\*.*?\*/)\s*)*[}\]])', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedConfig:
    """How members exchange gradients.

    `backend` is "auto" or the name of a process group; only the agent's planning knows these names.
    `trusted_lan`: the owner says that nobody listens on the network. Only then may NCCL, which is not encrypted,
    connect two machines.
    """

    backend: str = "auto"
    trusted_lan: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The shape of the network. Raises ConfigError.

    `checkpoint` is the file in which a trained model is kept, and from which training continues.
    """

    d_model: int = 512
    nhead: int = 8
    num_layers: int = 6
    dropout: float = 0.0
    tie_embeddings: bool = True
    checkpoint: str = ""

    def __post_init__(self) -> None:
        _positive(self, "model", "d_model", "nhead", "num_layers")
        # The heads divide the width equally, and rotary positions turn pairs of a head's numbers.
        if self.d_model % self.nhead:
            near = max(self.nhead, round(self.d_model / self.nhead) * self.nhead)
            hint = f"for example d_model {near}, or nhead {_divisor(self.d_model, self.nhead)}"
            raise ConfigError(
                "model.d_model {d_model} is not divisible by model.nhead {nhead}",
                hint,
                d_model=self.d_model,
                nhead=self.nhead,
            )
        if self.d_model // self.nhead % 2:
            hint = "rotary positions need pairs: choose an even d_model / nhead"
            raise ConfigError(
                "model.d_model / model.nhead is {width}, an odd number", hint, width=self.d_model // self.nhead
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(
                "model.dropout {dropout} is not in [0, 1)", "write 0.1, or 0 for none", dropout=self.dropout
            )

    @property
    def head_width(self) -> int:
        """The width of one attention head."""
        return self.d_model // self.nhead

    @property
    def feed_forward_width(self) -> int:
        """8/3 of d_model, rounded up to a multiple of 32: SwiGLU's three matrices then have the size of a plain
        feed-forward's two, which are 4 * d_model wide."""
        return -(-8 * self.d_model // 3 // 32) * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerConfig:
    """The tokenizer. `vocab_size` 0 chooses a size by the amount of text. Raises ConfigError."""

    model_path: str = ""
    vocab_size: int = 0

    def __post_init__(self) -> None:
        if self.vocab_size:
            _positive(self, "tokenizer", "vocab_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """The text to train on, and the tokens in a row. Raises ConfigError."""

    path: str = ""
    seq_len: int = 256

    def __post_init__(self) -> None:
        _positive(self, "training.dataset", "seq_len")
        if self.seq_len < 8:
            raise ConfigError("training.dataset.seq_len {seq_len} is too short", "write 256", seq_len=self.seq_len)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How to train. Raises ConfigError.

    `batch_size` counts the rows of a step over all members. `epochs` is a ceiling: a run ends when the held-out loss
    was worse than its best `patience` times in a row (0: never). `lr` is the peak rate of the matrices inside layers.
    """

    batch_size: int = 32
    epochs: int = 3
    patience: int = 2
    optimizer: str = "muon"
    lr: float = 3e-4
    weight_decay: float = 0.1
    warmup_steps: int = 20
    max_steps: int | None = None
    seed: int = 1
    dataset: DatasetConfig = field(default_factory=DatasetConfig)

    def __post_init__(self) -> None:
        _positive(self, "training", "batch_size", "epochs", "lr")
        if self.max_steps is not None:
            _positive(self, "training", "max_steps")
        if self.optimizer not in OPTIMIZERS:
            hint = _suggestion(self.optimizer, OPTIMIZERS, "one of")
            raise ConfigError("training.optimizer is {optimizer}", hint, optimizer=f"{self.optimizer!r}")
        for name in ("weight_decay", "warmup_steps", "patience"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    "training.{name} is {value}, it cannot be negative",
                    "leave it out",
                    name=name,
                    value=getattr(self, name),
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The configuration of a project.

    `ignored` names keys that were present and are no longer needed, `given` those whose value a person has chosen.
    """

    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    ignored: tuple[str, ...] = ()
    given: frozenset[str] = field(default=frozenset(), compare=False)


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
        hint = _suggestion(config.distributed.backend, backends, "one of")
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
            raise ConfigError("unknown key {place}", _suggestion(key, known, "known here"), place=place)
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
            f"write {place} without quotes" if isinstance(value, str) else "see: cellmindctl config show",
            place=place,
            kind=_kind_of(value),
            expected=_NAMES[kind],
        )
    return value


_NAMES: Mapping[type, str] = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def _suggestion(word: str, known: Collection[str], otherwise: str) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"{otherwise}: {', '.join(known)}"


def _kind_of(value: Any) -> str:
    return _NAMES.get(
        type(value), "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "null"
    )


def _positive(owner: Any, section: str, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if not value > 0 or value != value or value == float("inf"):
            raise ConfigError(
                "{section}.{name} is {value}, it must be more than 0",
                "leave it out for {default}",
                section=section,
                name=name,
                value=value,
                default=_default(owner, name),
            )


def _default(owner: Any, name: str) -> Any:
    return next(f.default for f in dataclasses.fields(owner) if f.name == name)


def _divisor(number: int, near: int) -> int:
    return min((n for n in range(1, number + 1) if number % n == 0), key=lambda n: (abs(n - near), n))
