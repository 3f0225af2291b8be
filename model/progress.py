"""Reports the steps of a trainer as events, but not more often than people and agents want them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from model.line.declare import Event
from model.line.training import StepsProgressed
from model.rounds.round import StepProgress

_PROGRESS_SECONDS = 0.5  # the least time between two events


class ProgressReports:
    """Sends the latest step now and then, and at the end of a round the last one."""

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self._sent_at = 0.0  # monotonic, in seconds
        self._unsent: tuple[StepProgress, int] | None = None

    def begin_round(self) -> None:
        """Drop what a failed round has left."""
        self._unsent = None

    def note(self, progress: StepProgress, tokens: int) -> None:
        """A step was taken; `tokens` are those of the run so far."""
        self._unsent = progress, tokens
        if time.monotonic() - self._sent_at >= _PROGRESS_SECONDS:
            self.end_round()

    def end_round(self) -> None:
        """Send the last step, if it is not sent yet: a round shorter than _PROGRESS_SECONDS reports its speed too.

        Its loss is that of this member's own targets: those of the others come at the round's end.
        """
        if self._unsent is None:
            return
        progress, tokens = self._unsent
        self._sent_at, self._unsent = time.monotonic(), None
        self._report(
            StepsProgressed(
                step=progress.step,
                loss=float(progress.loss_sum) / max(1, progress.own_tokens),
                tokens=tokens,
                compute_tokens_per_second=progress.tokens_per_second,
                idle_fraction=progress.idle_fraction,
            )
        )


@dataclass(slots=True)
class OwnRound:
    """A local round, and what this member has done in it: of the other members it knows nothing before the end."""

    step_before: int  # steps of the run before the round
    tokens_before: int
    steps: int = 0
    tokens: int = 0

    def count(self, progress: StepProgress) -> tuple[StepProgress, int]:
        """Add a step. Returns it as the run's progress, and the run's tokens, as if there were no other members."""
        self.steps += 1
        self.tokens += progress.own_tokens
        return replace(progress, step=self.step_before + self.steps), self.tokens_before + self.tokens
