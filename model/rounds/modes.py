"""The ways to train a round, by the names that the agent's planning has for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from model.arithmetic.state import TrainingState
from model.rounds.ddp import SynchronousRounds
from model.rounds.local import LocalRounds
from model.rounds.round import MakeRoundMethod


@dataclass(frozen=True, slots=True)
class Mode:
    """`common` are the tensors that all members have with equal values: a newcomer receives these. Members divide each
    step, or else the steps among them."""

    make_method: MakeRoundMethod
    common: Callable[[TrainingState], dict[str, Tensor]]
    divides_steps: bool


DDP = Mode(SynchronousRounds, TrainingState.named_tensors, True)
LOCAL = Mode(LocalRounds, lambda state: {**state.model.state_dict(), **state.average.state_tensors()}, False)
MODES: Mapping[str, Mode] = {"ddp": DDP, "local": LOCAL}
