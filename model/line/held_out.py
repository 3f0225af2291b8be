"""What the held-out losses of a run say: which evaluation was the best, and how many since were worse.

The leader updates the record at each commit and sends it with the commit, so it is the same on every member.
"""

from __future__ import annotations

import math

from model.line.declare import line_value

MAX_HELD_OUT_ROWS = 64  # an evaluation takes the first rows, so its losses are comparable


@line_value
class HeldOutRecord:
    """The best held-out loss (nats a token) and its step; `num_worse` counts the evaluations since that were worse."""

    best_loss: float | None = None
    best_step: int = 0
    num_worse: int = 0


NO_EVALUATION = HeldOutRecord()


def after(record: HeldOutRecord, step: int, loss: float) -> HeldOutRecord:
    """The record after an evaluation at `step`. An equal loss counts as worse, and so does one that is no number."""
    if math.isfinite(loss) and (record.best_loss is None or loss < record.best_loss):
        return HeldOutRecord(best_loss=loss, best_step=step)
    return HeldOutRecord(best_loss=record.best_loss, best_step=record.best_step, num_worse=record.num_worse + 1)


def served_loss(val_loss: float | None, average_val_loss: float | None) -> float | None:
    """The loss of the weights that would be kept: the smaller of the live ones' and the averaged ones'."""
    losses = [loss for loss in (val_loss, average_val_loss) if loss is not None]
    return min(losses, default=None)
