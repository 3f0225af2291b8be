"""Which samples a run has used: the arithmetic of steps, epochs and ranges.

In an epoch every sample is counted exactly once (I2): step `s` takes the positions [start, stop) of its epoch's own
order, and the trainers derive that order from the seed and the epoch alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cellmind_agent.planning.shares import shares, spans
from cellmind_agent.protocol.limits import MAX_EVALUATIONS
from cellmind_agent.protocol.messages import ModelView, RosterMember, RunMode, RunSpec, RunView, Term
from model.line.held_out import MAX_HELD_OUT_ROWS

_EVALUATION_SHARE = 0.03
Division: TypeAlias = tuple[int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`num_samples` samples, `batch_samples` a step (the last step of an epoch takes what is left), `epochs` times.

    The held-out loss is evaluated every `evaluate_every` steps; 0: only before the first step and after the last. A run
    ends after `patience` evaluations in a row that were worse than its best; 0: not for that reason. In the mode `ddp`
    all members take a part of each step; in the mode `local` each step is taken whole by one member.
    """

    num_samples: int
    batch_samples: int
    epochs: int
    max_steps: int | None = None
    evaluate_every: int = 0
    patience: int = 0
    mode: RunMode = "ddp"

    def __post_init__(self) -> None:
        if self.num_samples < 1 or self.batch_samples < 1 or self.epochs < 1:
            raise ValueError(
                f"{self.num_samples} samples, {self.batch_samples} a step, for {self.epochs} epochs are no steps"
            )

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_samples // self.batch_samples)

    @property
    def total_steps(self) -> int:
        steps = self.steps_per_epoch * self.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def steps_to_evaluation(self, step: int) -> int:
        """The steps from `step` to the next one after which the held-out loss is evaluated."""
        rest = self.total_steps - step
        return min(rest, self.evaluate_every - step % self.evaluate_every) if self.evaluate_every else rest

    def batch(self, step: int) -> tuple[int, int, int]:
        """(epoch, start, stop) of the positions that step `step` (from 0) takes."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch_samples
        return epoch, start, min(start + self.batch_samples, self.num_samples)

    def divide(self, first_step: int, steps: int, member_shares: Sequence[int]) -> Iterator[Division]:
        """For each step of a round its epoch, and the positions [start, stop) that each member takes in it, by the
        shares: its samples of a whole batch. Raises ValueError if there are no members."""
        for step in range(first_step, first_step + steps):
            yield self._divide_samples(step, member_shares)

    def _divide_samples(self, step: int, member_shares: Sequence[int]) -> Division:
        epoch, start, stop = self.batch(step)
        # The last batch of an epoch is smaller than the shares add up to: it is divided in the same proportion.
        is_whole = stop - start == sum(member_shares)
        return epoch, spans(start, member_shares if is_whole else shares(member_shares, stop - start))


def evaluation_interval(total_steps: int, batch_samples: int, held_out_samples: int) -> int:
    """After how many steps the held-out loss is evaluated again.

    Evaluations cost about 3 % of the training: two passes (live and averaged weights) without gradients, each a third
    of a training step's work for a row. There are at most 50 in a run, at nearly equal distances.
    """
    rows = min(held_out_samples, MAX_HELD_OUT_ROWS)
    affordable = rows * 2 / 3 / _EVALUATION_SHARE / batch_samples
    wanted = max(1, -(-total_steps // MAX_EVALUATIONS), math.ceil(affordable))
    return -(-total_steps // max(1, round(total_steps / wanted)))


def ledger_of(spec: RunSpec) -> Ledger:
    """Raises ValueError for counts that make no run."""
    return Ledger(
        num_samples=spec.num_samples,
        batch_samples=spec.batch_samples,
        epochs=spec.epochs,
        max_steps=spec.max_steps,
        evaluate_every=max(0, spec.evaluate_every),
        patience=max(0, spec.patience),
        mode=spec.mode,
    )


def first_view(spec: RunSpec, roster: tuple[RosterMember, ...], start: ModelView | None, term: Term) -> RunView:
    """How a run stands before the first round of this roster; `start` is the checkpoint from which it goes on."""
    return RunView(
        run=spec.run,
        state="preparing",
        roster=tuple(member.name for member in roster),
        leader=term.leader,
        step=start.step if start else 0,
        total_steps=ledger_of(spec).total_steps,
        tokens=start.tokens if start else 0,
        created=spec.created,
        val_loss=start.val_loss if start else None,
        term=term.number,
    )
