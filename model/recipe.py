"""The recipe: what nobody has configured, chosen by the size of the text. Pure; imports no torch.

Each rule is a line through measurements (DECISIONS.md has them). A number that is given in the configuration is obeyed,
and the rest is chosen to suit it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

from model.config import Config, ModelConfig, TrainingConfig

V = TypeVar("V", ModelConfig, TrainingConfig)
_Chosen: TypeAlias = Mapping[str, tuple[float, str]]  # a value and its reason, by the name of a key

# Reasons.
BY_TEXT: Final = "chosen by the size of the text"
BY_WIDTH: Final = "chosen by the width of the model"
BY_STEP: Final = "chosen by the width of the model and the tokens of a step"
BY_MODEL: Final = "chosen by the model to continue"

ROW_KEY: Final = "training.dataset.seq_len"  # chosen when the text is packed, before its tokens are counted
CHOSEN_KEYS: Final = frozenset(
    {
        ROW_KEY,
        *(f"model.{name}" for name in ("d_model", "nhead", "num_layers")),
        *(f"training.{name}" for name in ("batch_size", "epochs", "lr")),
    }
)
_SHAPES = ((128, 4), (192, 4), (256, 4), (320, 5), (384, 6), (512, 6), (640, 8), (768, 12))  # width and layers
_HEAD_WIDTH = 64
_KNEE_WIDTH, _KNEE_TOKENS = 256, 330_000  # the width that learnt a text of so many tokens best
_SMALL_TEXT, _LARGE_TEXT = 0.31, 0.11  # exponents: less text must not be learnt by heart, more must not take days
_STEPS_WANTED = 120  # of an epoch: with fewer, a smaller step learns more
_MIN_STEPS = 100  # of a run: in fewer, the learning rate cannot rise, stay and fall usefully
_MIN_STEP_TOKENS, _MAX_STEP_TOKENS = 512, 16_384
_KNEE_EPOCHS, _EPOCHS_EXPONENT = 3, 0.12
_RATE, _RATE_WIDTH, _RATE_TOKENS = 0.0025, 256, 4096  # the best peak rate was found at this width and step


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSize:
    """The text that a model is trained on: the tokens that are predicted, and the rows in which they are packed, of
    `seq_len` tokens at most."""

    tokens: int
    rows: int
    seq_len: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The value that was chosen for `key`, and `why`, in English."""

    key: str
    value: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A configuration without gaps, and what was chosen for it."""

    config: Config
    choices: tuple[Choice, ...]


def choose_recipe(config: Config, text: TextSize, start: ModelConfig | None = None) -> Recipe:
    """Choose what `config.given` leaves open. `start` is the shape of a model that the training continues.

    Raises ConfigError when a chosen value and a given one do not fit together.
    """
    choices: list[Choice] = []
    model = _fill("model", config.model, config.given, _shape(config, text, start), choices)
    training = config.training
    if ROW_KEY not in config.given:
        training = dataclasses.replace(training, dataset=dataclasses.replace(training.dataset, seq_len=text.seq_len))
        choices.append(Choice(key=ROW_KEY, value=text.seq_len, why=BY_TEXT))
    # The rate depends on the batch, and the batch on nothing but the text: so they are chosen one after the other.
    for chosen in (_amount, _rates):
        training = _fill("training", training, config.given, chosen(model, training, text), choices)
    return Recipe(config=dataclasses.replace(config, model=model, training=training), choices=tuple(choices))


def _amount(model: ModelConfig, training: TrainingConfig, text: TextSize) -> _Chosen:
    """Rows of a step, and at most so many epochs."""
    row_tokens = text.tokens / max(1, text.rows)
    step_tokens = min(max(text.tokens / _STEPS_WANTED, _MIN_STEP_TOKENS), _MAX_STEP_TOKENS)
    batch_size = max(1, round(step_tokens / max(1.0, row_tokens)))
    steps = max(1, text.rows // batch_size)  # of an epoch
    return {
        "batch_size": (batch_size, BY_TEXT),
        "epochs": (max(_epochs(text.tokens), math.ceil(_MIN_STEPS / steps)), BY_TEXT),
    }


def _rates(model: ModelConfig, training: TrainingConfig, text: TextSize) -> _Chosen:
    """The peak rate: less for a wider model, more for a larger step."""
    step_tokens = training.batch_size * text.tokens / max(1, text.rows)
    rate = _RATE * (_RATE_WIDTH / model.d_model) ** 0.5 * (step_tokens / _RATE_TOKENS) ** 0.25
    return {"lr": (float(f"{rate:.2g}"), BY_STEP)}


def _epochs(tokens: int) -> int:
    """More for a small text. A run ends earlier when the held-out loss rises."""
    epochs: float = _KNEE_EPOCHS * (max(1, tokens) / _KNEE_TOKENS) ** -_EPOCHS_EXPONENT
    return max(1, round(epochs))


def _shape(config: Config, text: TextSize, start: ModelConfig | None) -> _Chosen:
    """Width, layers and heads."""
    if start is not None:
        names = ("d_model", "nhead", "num_layers", "tie_embeddings")
        return {name: (getattr(start, name), BY_MODEL) for name in names}
    given = config.given
    size = text.tokens / _KNEE_TOKENS
    wanted = _KNEE_WIDTH * size ** (_SMALL_TEXT if size < 1 else _LARGE_TEXT)
    width, layers = min(_SHAPES, key=lambda shape: abs(math.log(shape[0] / wanted)))
    if "model.d_model" in given:
        width = config.model.d_model
        layers = min(_SHAPES, key=lambda shape: abs(math.log(shape[0] / width)))[1]
    if "model.nhead" in given and "model.d_model" not in given:
        step = 2 * config.model.nhead  # the heads divide the width, and each has an even width
        width = max(1, round(width / step)) * step
    return {
        "d_model": (width, BY_TEXT),
        "num_layers": (layers, BY_TEXT),
        "nhead": (_heads(width), BY_WIDTH),
    }


def _heads(width: int) -> int:
    """The number of heads of about 64 numbers each that divides `width` into even parts; 1 if none does."""
    fitting = [heads for heads in range(1, width // 2 + 1) if width % heads == 0 and width // heads % 2 == 0]
    return min(fitting, key=lambda heads: abs(math.log(width / heads / _HEAD_WIDTH)), default=1)


def _fill(section: str, values: V, given: frozenset[str], chosen: _Chosen, choices: list[Choice]) -> V:
    """`values` with the chosen ones where none is given. Each is added to `choices`."""
    taken = {name: choice for name, choice in chosen.items() if f"{section}.{name}" not in given}
    choices += [Choice(key=f"{section}.{name}", value=value, why=why) for name, (value, why) in taken.items()]
    found: dict[str, Any] = {name: value for name, (value, _) in taken.items()}
    return dataclasses.replace(values, **found)
