"""Values that are not finite: whose they are first decides whether a member is at fault, or the run has diverged.

A gradient that is not finite spoils the weights of all members in the same step, and their losses from the next step
on. So only the first affected value shows who is to blame. Each member's first one in a round has a number, which is
greater the earlier it is; n steps of the round are left from the affected one on:

    2 n        its own loss or gradient, before the gradients are averaged
    2 n - 1    the averaged gradient, as it has received it
    0          none in the whole round
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model.arithmetic.state import extremes
from model.errors import DivergedError, NotFiniteError
from model.meeting.group import Group


class OwnGradients:
    """Watches this member's own gradients before they are averaged, step by step."""

    def __init__(self) -> None:
        self._extremes: list[Tensor] = []  # of this step, (2,) each

    def watch(self, gradients: Tensor) -> None:
        """Some of the gradients of this step."""
        self._extremes.append(extremes(gradients))

    def end_step(self) -> Tensor:
        """The least and the greatest of this step's gradients (2,): finite if all are. Zeros if there were none."""
        found, self._extremes = self._extremes, []
        return extremes(torch.cat(found)) if found else torch.zeros(2)


def first_not_finite(losses: Sequence[float], own_gradients: Sequence[Sequence[float]], norms: Sequence[float]) -> int:
    """This member's number: one loss, the values of `OwnGradients.end_step` and one averaged norm for each step."""
    for number, (loss, own, norm) in enumerate(zip(losses, own_gradients, norms, strict=True)):
        num_left = len(losses) - number
        if not all(map(math.isfinite, (loss, *own))):
            return 2 * num_left
        if not math.isfinite(norm):
            return 2 * num_left - 1
    return 0


def check_steps(
    group: Group,
    first_step: int,
    losses: Sequence[float],
    numbers: Sequence[int],
    num_training: Sequence[int],
    learning_rate: float,
) -> None:
    """Compare the numbers of all ranks; `losses` are those of all members in each step of the round from `first_step`.

    If all of a step's `num_training` members, which had targets, are the first with a value that is not finite, raises
    DivergedError. If only some are, raises NotFiniteError on those, and PeerLostError on the others.
    """
    first = max(numbers)
    if first == 0:
        return
    number = len(losses) - (first + 1) // 2
    step = first_step + number
    affected = [rank for rank, own in enumerate(numbers) if own == first]
    if len(affected) < (group.size if first % 2 else num_training[number]):
        listed = ", ".join(map(str, affected))
        error = NotFiniteError(
            "only rank {ranks} had a loss or gradient that is not finite at step {step}", ranks=listed, step=step
        )
        group.blame(affected, error)
    what = "the gradient became infinite at step {step}"
    if not math.isfinite(losses[number]):
        what = "the loss became {loss} at step {step}"
    raise DivergedError(what, "lower training.lr ({lr})", loss=losses[number], step=step, lr=learning_rate)
