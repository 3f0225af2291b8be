"""The project's configuration as values, checked when they are built. Imports no torch.

`Config.given` names the keys that a person gave a value: `model/recipe.py` chooses the rest by the text. The form of
the file is in `config_file.py`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from model.errors import ConfigError
from model.line.sentence import Sentence

OPTIMIZERS = ("muon", "adamw")
EXCHANGES = ("auto", "float32", "bfloat16", "int8", "int4")
MIN_ROUND_SECONDS, MAX_ROUND_SECONDS = 0.5, 60.0  # a round ends with a comparison; what is not committed may be lost


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedConfig:
    """How members exchange gradients. Raises ConfigError.

    `backend` is "auto" or the name of a process group; only the agent's planning knows these names.
    `trusted_lan`: the owner says that nobody listens on the network. Only then may NCCL, which is not encrypted,
    connect two machines.
    `round_seconds` is about the length of a round: the work that a lost member costs. Others join between two rounds.
    In a run that loses devices often, rounds are shorter.
    `exchange` is how values travel between members. "auto": gradients of the mode ddp in float32, so that a step is
    exact, and changes of weights in eight bits, or in four where the network is slow. In the mode ddp "int8" and "int4"
    count as "bfloat16".
    """

    backend: str = "auto"
    trusted_lan: bool = False
    round_seconds: float = 10.0
    exchange: str = "auto"

    def __post_init__(self) -> None:
        if self.exchange not in EXCHANGES:
            hint = suggestion(self.exchange, EXCHANGES)
            raise ConfigError("distributed.exchange is {exchange}", hint, exchange=f"{self.exchange!r}")
        if not MIN_ROUND_SECONDS <= self.round_seconds <= MAX_ROUND_SECONDS:
            raise ConfigError(
                "distributed.round_seconds is {seconds}",
                "write a number from {least} to {most}, or leave it out for 10",
                seconds=f"{self.round_seconds:g}",
                least=f"{MIN_ROUND_SECONDS:g}",
                most=f"{MAX_ROUND_SECONDS:g}",
            )


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
            hint = "for example d_model {near}, or nhead {divisor}"
            raise ConfigError(
                "model.d_model {d_model} is not divisible by model.nhead {nhead}",
                hint,
                d_model=self.d_model,
                nhead=self.nhead,
                near=near,
                divisor=_divisor(self.d_model, self.nhead),
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

    def num_weights(self, vocab_size: int) -> int:
        """How many parameters the network has: matrices, and the gains of its norms."""
        layer = (
            4 * self.d_model**2 + 3 * self.d_model * self.feed_forward_width + 2 * self.d_model + 2 * self.head_width
        )
        return vocab_size * self.d_model + self.num_layers * layer + self.d_model


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
            hint = suggestion(self.optimizer, OPTIMIZERS)
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


def suggestion(word: str, known: Collection[str]) -> Sentence:
    """The hint for a word that is none of `known`."""
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return Sentence("did you mean {close}?", close=close[0])
    return Sentence("one of: {known}", known=", ".join(known))
