"""The interface that every way to train a round has, and the report of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch.optim import Optimizer

from model.arithmetic.gpt import GPT
from model.config import TrainingConfig
from model.data import PackedData
from model.line.training import Span
from model.meeting.group import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step as a member sees it. Losses and tokens cover all members, the speed is this device's own."""

    step: int  # steps of the run so far, this one included
    loss: float  # mean, in nats a token
    tokens: int  # targets of this step
    gradient_norm: float  # before clipping
    learning_rate: float
    tokens_per_second: float  # while this device computes; since the process started
    idle_fraction: float  # the part of the time in which this device waits for others


class RoundMethod(Protocol):
    """A way to train a round. On every member the trainer calls `take_steps`, then `synchronize_weights`."""

    def take_steps(
        self, first_step: int, spans: Sequence[Span], on_step: Callable[[StepReport], None]
    ) -> StepReport | None:
        """Take one step for each span, call `on_step` after each, and return the last report (None without spans).

        Raises DivergedError, PeerLostError.
        """

    def synchronize_weights(self) -> str:
        """Give all members the same weights, and return their hash (invariant I3 of ARCHITECTURE.md).

        Raises PeerLostError.
        """


# Makes a `RoundMethod` for the configuration, the steps of the whole run, the parts of a trainer, and what it must call
# before each step.
MakeRoundMethod: TypeAlias = Callable[
    [TrainingConfig, int, PackedData, Group, GPT, Optimizer, Callable[[], None]], RoundMethod
]
