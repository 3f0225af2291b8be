"""Local rounds: each member takes steps of its own, and at the end of the round all average what has changed.

Local SGD (Stich 2019), as DiLoCo (Douillard et al. 2023) with an outer step of plain averaging. A step of the run is
taken by one member, with all of that step's samples and its learning rate; a member's changes count by its targets.
Between two averages nothing is exchanged: a round costs about a quarter of the bytes of one synchronous step, because
the changes of matrices travel in eight bits a value, both ways.

The optimiser's state stays on each member. The averaged weights are the state of the run: they are evaluated and saved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from model.arithmetic.state import TrainingState, extremes
from model.config import TrainingConfig
from model.data import PackedData
from model.errors import DivergedError, NotFiniteError
from model.line.training import Span
from model.meeting.group import Group
from model.rounds.agreement import agree_on_weights
from model.rounds.averaging import FLOAT32, INT8, weighted_mean
from model.rounds.ddp import SynchronousRounds
from model.rounds.round import StepProgress, StepReport
from model.tuning.choice import Tuning


class LocalRounds:
    """The `RoundMethod` in which members average the changes of their weights once a round."""

    def __init__(
        self,
        config: TrainingConfig,
        total_steps: int,
        tuning: Tuning,
        data: PackedData,
        group: Group,
        state: TrainingState,
        pace: Callable[[], None] = lambda: None,
    ) -> None:
        """`pace` is called before each step."""
        self._group, self._state, self._lr = group, state, config.lr
        alone = Group(0, 1, group.device)
        self._steps = SynchronousRounds(config, total_steps, tuning, data, alone, state, pace)
        self._parameters = dict(state.model.named_parameters())
        self._before: dict[str, Tensor] = {}  # the weights at the start of the round
        self._own_targets = 0
        self._restart_average()

    @property
    def tokens_per_second(self) -> float:
        """See `RoundMethod`."""
        return self._steps.tokens_per_second

    def take_steps(
        self, first_step: int, spans: Sequence[Span], on_step: Callable[[StepProgress], None]
    ) -> list[StepReport]:
        """See `RoundMethod`. The span of a step that another member takes is empty."""
        if self._group.size == 1:
            return self._steps.take_steps(first_step, spans, on_step)
        own = {first_step + number: span for number, span in enumerate(spans) if span.stop > span.start}
        self._before = {name: weight.detach().clone() for name, weight in self._parameters.items()} if spans else {}
        factor = len(spans) / max(1, len(own))
        reports: dict[int, StepReport] = {}

        def note(progress: StepProgress) -> None:  # all members together are about as much further
            on_step(replace(progress, tokens=round(progress.own_tokens * factor)))

        diverged: DivergedError | None = None
        try:
            for step, span in own.items():
                reports[step] = self._steps.take_steps(step, [span], note)[0]
        except DivergedError as error:  # the others must learn of it before this member ends
            diverged = error
        self._own_targets = sum(report.tokens for report in reports.values())
        ended = time.perf_counter()
        self._check_finite(diverged, has_steps=bool(own))
        of_all = self._reports_of_all(first_step, len(spans), reports)
        self._steps.note_wait(time.perf_counter() - ended)
        return of_all

    def adopt(self, tuning: Tuning) -> None:
        """See `RoundMethod`."""
        self._steps.adopt(tuning)

    def synchronize_weights(self) -> str:
        """See `RoundMethod`. All members take the mean of their changes, weighted by their targets."""
        started = time.perf_counter()
        if self._before:
            self._average_changes()
        self._before = {}
        digest = agree_on_weights(self._group, self._state, self._state.model.state_dict())
        self._restart_average()
        self._steps.note_wait(time.perf_counter() - started)
        return digest

    def close(self) -> None:
        """See `RoundMethod`."""
        self._before = {}
        self._steps.close()

    @torch.no_grad()
    def _average_changes(self) -> None:
        """Norms and other vectors are few: they travel in full."""
        matrices = [name for name, weight in self._parameters.items() if weight.dim() > 1]
        vectors = [name for name, weight in self._parameters.items() if weight.dim() <= 1]
        for names, coding in ((matrices, INT8), (vectors, FLOAT32)):
            changes = [(self._parameters[name] - self._before[name]).float().cpu().view(-1) for name in names]
            if not changes:
                continue
            mean = weighted_mean(self._group, torch.cat(changes), float(self._own_targets), coding)
            parts = torch.split(mean, [len(change) for change in changes])
            for name, part in zip(names, parts, strict=True):
                before = self._before[name]
                # Two operations, each rounded as IEEE 754 says: the same bits on all processors.
                self._parameters[name].copy_(before + part.view_as(before).to(before.device, before.dtype))

    def _restart_average(self) -> None:
        """Averages over the last steps differ between members; the mean over the members takes their place."""
        if self._group.size > 1:
            self._state.average.restart()

    def _check_finite(self, diverged: DivergedError | None, has_steps: bool) -> None:
        """One member's values are its own fault, and those of all are the run's.

        Raises DivergedError on all members, or NotFiniteError on those at fault and PeerLostError on the others.
        """
        is_broken = diverged is not None or not self._is_finite()
        states = [tuple(data) for data in self._group.gather(bytes((is_broken, has_steps)))]
        broken = [rank for rank, (is_its_broken, _) in enumerate(states) if is_its_broken]
        if not broken:
            return
        of_those_with_steps = [is_its_broken for is_its_broken, has_its_steps in states if has_its_steps]
        if of_those_with_steps and all(of_those_with_steps):
            raise diverged or DivergedError("the weights became infinite", "lower training.lr ({lr})", lr=self._lr)
        listed = ", ".join(map(str, broken))
        self._group.blame(broken, NotFiniteError("only rank {ranks} has weights that are not finite", ranks=listed))

    def _is_finite(self) -> bool:
        found = [extremes(weight.detach()) for weight in self._parameters.values()]
        return bool(torch.cat(found).isfinite().all())

    def _reports_of_all(self, first_step: int, count: int, own: dict[int, StepReport]) -> list[StepReport]:
        """The reports of all steps of the round, each from the member that took it."""
        steps = range(first_step, first_step + count)
        zero = StepReport(step=0, loss=0.0, tokens=0, gradient_norm=0.0, learning_rate=0.0)
        rows = [own.get(step, zero) for step in steps]
        figures = [[row.loss, float(row.tokens), row.gradient_norm, row.learning_rate] for row in rows]
        sums = self._group.sum([figure for row in figures for figure in row])
        return [
            StepReport(
                step=step + 1,
                loss=sums[4 * number],
                tokens=int(sums[4 * number + 1]),
                gradient_norm=sums[4 * number + 2],
                learning_rate=sums[4 * number + 3],
            )
            for number, step in enumerate(steps)
        ]
