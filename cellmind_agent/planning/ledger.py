"""Which samples a run has used: the arithmetic of steps, epochs and ranges.

In an epoch every sample is counted exactly once (I2): step `s` takes the positions [start, stop) of its epoch's own
order, and the trainers derive that order from the seed and the epoch alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from cellmind_agent.protocol.messages import RunSpec, RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """`num_samples` samples, `batch_samples` a step (the last step of an epoch takes what is left), `epochs` times."""

    num_samples: int
    batch_samples: int
    epochs: int
    max_steps: int | None = None

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

    def batch(self, step: int) -> tuple[int, int, int]:
        """(epoch, start, stop) of the positions that step `step` (from 0) takes."""
        epoch, place = divmod(step, self.steps_per_epoch)
        start = place * self.batch_samples
        return epoch, start, min(start + self.batch_samples, self.num_samples)


def ledger_of(spec: RunSpec) -> Ledger:
    """Raises ValueError for counts that make no run."""
    return Ledger(
        num_samples=spec.num_samples, batch_samples=spec.batch_samples, epochs=spec.epochs, max_steps=spec.max_steps
    )


def first_view(spec: RunSpec) -> RunView:
    """How a run stands before its first round, fresh or resumed."""
    start = spec.resume_from
    return RunView(
        run=spec.run,
        state="preparing",
        roster=tuple(member.name for member in spec.roster),
        leader=spec.roster[0].device,
        step=start.step if start else 0,
        total_steps=ledger_of(spec).total_steps,
        tokens=start.tokens if start else 0,
        created=spec.created,
        val_loss=start.val_loss if start else None,
    )
