"""The interface that every way to train a round has, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from model.arithmetic.state import TrainingState
from model.config import TrainingConfig
from model.data import PackedData
from model.line.training import Span
from model.meeting.group import Group
from model.tuning.choice import Tuning


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step of the run, over all members."""

    step: int  # steps of the run so far, this one included
    loss: float  # mean, in nats a token
    tokens: int  # targets of this step
    gradient_norm: float  # before clipping
    learning_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """A step that this member has just taken. Reading `loss_sum` waits for an accelerator, so read it seldom."""

    step: int  # steps of the run so far, this one included
    loss_sum: Tensor  # of this member's own targets, in nats, ()
    own_tokens: int  # this member's targets of this step
    tokens: int  # targets of this step, of all members
    tokens_per_second: float  # while this device computes
    idle_fraction: float  # the part of the time in which this device waits for others


@dataclass(frozen=True, slots=True)
class Ending:
    """When a member that takes its steps alone ends before the last: after the present step, if it `is_stopped`, or in
    the middle of it, if it `is_cut`. Then that step is not taken."""

    is_stopped: Callable[[], bool] = lambda: False
    is_cut: Callable[[], bool] = lambda: False


TO_THE_END = Ending()


class RoundMethod(Protocol):
    """A way to train rounds, in one group after the other. On every member the trainer calls `take_steps`, then
    `synchronize_weights`."""

    @property
    def tokens_per_second(self) -> float:
        """This device's speed while it computes, over its last steps; 0 before the second step of a process."""

    def join(self, group: Group) -> None:
        """Train with the members of this group."""

    def leave(self) -> None:
        """Let go of the group, also in the middle of a round: this device is alone."""

    def take_steps(
        self,
        first_step: int,
        spans: Sequence[Span],
        on_step: Callable[[StepProgress], None],
        ending: Ending = TO_THE_END,
    ) -> list[StepReport]:
        """Take one step for each span, call `on_step` after each, and return the reports of all. A member that takes
        its steps alone may end sooner.

        Raises DivergedError, PeerLostError; NotFiniteError where only this member computes values that are not finite.
        """

    def adopt(self, tuning: Tuning) -> None:
        """Compute so from the next step on."""

    def synchronize_weights(self) -> str:
        """Give all members the same weights, and return their hash (invariant I3 of ARCHITECTURE.md).

        Raises PeerLostError, StateRefusedError.
        """


@runtime_checkable
class LocalMethod(RoundMethod, Protocol):
    """A way to train rounds in which the members take their steps alone, several calls a round, and then average."""

    def begin_round(self) -> None:
        """The present weights are those that all members start from."""

    def continue_round(self) -> None:
        """Take this member's own weights again, if `average` has replaced them: the round is not over."""

    def forget_round(self) -> None:
        """Nothing of the present round counts."""

    def average(self, round_step: int, num_steps: int, center: int | None = None) -> list[StepReport]:
        """Take the average of all members, and return the reports of all steps of the round. The rank `center` averages
        for all; None: each averages a part.

        Raises DivergedError, PeerLostError; NotFiniteError where only this member has values that are not finite.
        """


# Makes a `RoundMethod` for the configuration, the steps of the whole run, how this device computes, a trainer's parts,
# what must be called before each step, and how values travel (`DistributedConfig.exchange`).
MakeRoundMethod: TypeAlias = Callable[
    [TrainingConfig, int, Tuning, PackedData, TrainingState, Callable[[], None], str], RoundMethod
]
