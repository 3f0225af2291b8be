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

# Reasons, as noun phrases: "chosen by ..."
BY_TEXT: Final = "the size of the text"
BY_WIDTH: Final = "the width of the model"
BY_STEP: Final = "the width of the model and the tokens of a step"
BY_MODEL: Final = "the model to continue"

CHOSEN_KEYS: Final = frozenset(
    {
        *(f"model.{name}" for name in ("d_model", "nhead", "num_layers")),
        *(f"training.{name}" for name in ("batch_size", "epochs", "lr")),
    }
)
_SHAPES = ((128, 4), (192, 4), (256, 4), (320, 5), (384, 6), (512, 6), (640, 8), (768, 12))  # width and layers
_HEAD_WIDTH = 64
_TOKENS_BY_WIDTH_256 = 400_000  # a text of so many tokens trains a model of this width best
_STEPS_WANTED = 120  # the least number of steps in which the learning rate rises, stays and falls usefully
_MIN_STEP_TOKENS, _MAX_STEP_TOKENS = 1024, 16_384
_WIDTH_EXPONENT = 0.33
_EPOCHS, _EPOCHS_TOKENS, _MAX_EPOCHS = 2, 400_000, 12
_RATE, _RATE_WIDTH, _RATE_TOKENS = 0.0025, 256, 4096  # the best peak rate was found at this width and step


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSize:
    """The text that a model is trained on: the tokens that are predicted, and the rows in which they are packed."""

    tokens: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The value that was chosen for `key`, because of `why` (a noun phrase in English)."""

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
    # The rate depends on the batch, and the batch on nothing but the text: so they are chosen one after the other.
    for chosen in (_amount, _rates):
        training = _fill("training", training, config.given, chosen(model, training, text), choices)
    return Recipe(config=dataclasses.replace(config, model=model, training=training), choices=tuple(choices))


def _amount(model: ModelConfig, training: TrainingConfig, text: TextSize) -> _Chosen:
    """Rows of a step, and at most so many epochs."""
    row_tokens = text.tokens / max(1, text.rows)
    step_tokens = min(max(text.tokens / _STEPS_WANTED, _MIN_STEP_TOKENS), _MAX_STEP_TOKENS)
    return {
        "batch_size": (max(1, round(step_tokens / max(1.0, row_tokens))), BY_TEXT),
        "epochs": (_epochs(text.tokens), BY_TEXT),
    }


def _rates(model: ModelConfig, training: TrainingConfig, text: TextSize) -> _Chosen:
    """The peak rate: less for a wider model, more for a larger step."""
    step_tokens = training.batch_size * text.tokens / max(1, text.rows)
    rate = _RATE * (_RATE_WIDTH / model.d_model) ** 0.5 * (step_tokens / _RATE_TOKENS) ** 0.5
    return {"lr": (float(f"{rate:.2g}"), BY_STEP)}


def _epochs(tokens: int) -> int:
    """More for a small text: it is read again and again until the held-out loss rises."""
    epochs = _EPOCHS * math.sqrt(_EPOCHS_TOKENS / max(1, tokens))
    return round(min(max(epochs, 1), _MAX_EPOCHS))


def _shape(config: Config, text: TextSize, start: ModelConfig | None) -> _Chosen:
    """Width, layers and heads."""
    if start is not None:
        names = ("d_model", "nhead", "num_layers", "tie_embeddings")
        return {name: (getattr(start, name), BY_MODEL) for name in names}
    given = config.given
    wanted = 256 * (text.tokens / _TOKENS_BY_WIDTH_256) ** _WIDTH_EXPONENT
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
