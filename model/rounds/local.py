"""Local rounds: each member takes steps of its own, and at the end of the round all average what has changed.

Local SGD (Stich 2019), as DiLoCo (Douillard et al. 2023) with an outer step of plain averaging. A step of the run is
taken by one member, with all of that step's samples; a member's changes count by its targets. Between two averages
nothing is exchanged: a round costs about a quarter of the bytes of one synchronous step, because the changes of
matrices travel in eight bits a value, both ways, or in four where the network is slow.

A member takes fewer steps than the run has, so each of them is longer: by the root of the number of members, or of as
many equal ones as have the same spread of targets (`tests.bench.local_learning`). The optimiser's state stays on each
member.

The mean of all is the state of the run: it is evaluated and saved, and the averaged weights follow it from round to
round, the same on all members. A member keeps its own weights until the
next round begins, so an average that fails can be done again in another group.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from model.arithmetic.state import TrainingState, extremes
from model.config import TrainingConfig
from model.data import PackedData
from model.errors import DivergedError, NotFiniteError
from model.line.training import Span
from model.meeting.group import Group
from model.rounds.agreement import agree_on_weights
from model.rounds.averaging import BFLOAT16, FLOAT32, INT4, INT8, Coding, Feedback, weighted_mean
from model.rounds.ddp import SynchronousRounds
from model.rounds.round import TO_THE_END, Ending, StepProgress, StepReport
from model.tuning.choice import Tuning

_FIGURES = struct.Struct("<Qd?")
_LONG_EXCHANGE_SECONDS = 3.0  # in eight bits: then the rounds would have to be longer than ten seconds
_SHORT_EXCHANGE_SECONDS = 1.0  # in four bits
_CODINGS = {"float32": FLOAT32, "bfloat16": BFLOAT16, "int8": INT8, "int4": INT4}


class LocalRounds:
    """The `LocalMethod` in which members average the changes of their weights once a round."""

    def __init__(
        self,
        config: TrainingConfig,
        total_steps: int,
        tuning: Tuning,
        data: PackedData,
        state: TrainingState,
        pace: Callable[[], None] = lambda: None,
        exchange: str = "auto",
    ) -> None:
        """`pace` is called before each step. `exchange` is a key of the configuration (`DistributedConfig`)."""
        self._state, self._lr = state, config.lr
        self._steps = SynchronousRounds(config, total_steps, tuning, data, state, pace)
        self._group = Group(0, 1, state.model.embed_tokens.weight.device)
        self._parameters = dict(state.model.named_parameters())
        self._before: dict[str, Tensor] = {}  # the weights at the start of the round; empty: no local round is begun
        self._own: dict[str, Tensor] = {}  # this member's weights, while the model has the mean
        self._reports: dict[int, StepReport] = {}  # of this member's steps in the round
        self._num_equal: float | None = None  # so many equal members would have done the last round
        self._exchange_seconds = 0.0  # of the last average
        self._coding, self._feedback = _CODINGS.get(exchange, INT8), Feedback()
        self._is_coding_chosen = exchange not in _CODINGS  # by the time that an average takes

    @property
    def tokens_per_second(self) -> float:
        """See `RoundMethod`."""
        return self._steps.tokens_per_second

    def join(self, group: Group) -> None:
        """See `RoundMethod`."""
        self._group = group

    def leave(self) -> None:
        """See `RoundMethod`. The round goes on in the next group, if the trainer does not forget it."""
        self._group = Group(0, 1, self._group.device)
        self._steps.leave()

    def adopt(self, tuning: Tuning) -> None:
        """See `RoundMethod`."""
        self._steps.adopt(tuning)

    def take_steps(
        self,
        first_step: int,
        spans: Sequence[Span],
        on_step: Callable[[StepProgress], None],
        ending: Ending = TO_THE_END,
    ) -> list[StepReport]:
        """See `RoundMethod`. Nothing is exchanged."""
        num_equal = (self._num_equal or self._group.size) if self._before else 1
        self._steps.rate_factor, self._steps.averages_steps = math.sqrt(num_equal), not self._before
        reports = self._steps.take_steps(first_step, spans, on_step, ending)
        if self._before:
            self._reports.update((report.step, report) for report in reports)
        return reports

    def begin_round(self) -> None:
        """See `LocalMethod`."""
        self._reports, self._own = {}, {}
        self._feedback.settle()
        self._before = {name: weight.detach().clone() for name, weight in self._parameters.items()}

    @torch.no_grad()
    def continue_round(self) -> None:
        """See `LocalMethod`."""
        for name, weight in self._own.items():
            self._parameters[name].copy_(weight)
        self._own = {}

    def forget_round(self) -> None:
        """See `LocalMethod`."""
        self._before, self._own, self._reports = {}, {}, {}

    def average(self, round_step: int, num_steps: int, center: int | None = None) -> list[StepReport]:
        """See `LocalMethod`."""
        self._check_finite()
        reports = self._reports_of_all(round_step, num_steps)
        self._own = {name: weight.detach().clone() for name, weight in self._parameters.items()}
        started = time.perf_counter()
        self._average_changes(self._targets_of_all(), center)
        self._exchange_seconds = time.perf_counter() - started
        self._steps.note_wait(self._exchange_seconds)
        return reports

    def synchronize_weights(self) -> str:
        """See `RoundMethod`."""
        started = time.perf_counter()
        digest = agree_on_weights(self._group, self._state, self._state.model.state_dict())
        if self._own:
            self._state.average.update_after_round()
        self._steps.note_wait(time.perf_counter() - started)
        return digest

    @torch.no_grad()
    def _average_changes(self, targets: Sequence[int], center: int | None) -> None:
        """All members take the mean of their changes, weighted by their targets. Norms and other vectors are few: they
        travel in full."""
        if self._group.size == 1:  # all the others were lost
            return
        matrices = [name for name, weight in self._parameters.items() if weight.dim() > 1]
        vectors = [name for name, weight in self._parameters.items() if weight.dim() <= 1]
        ways: tuple[tuple[list[str], Coding, Feedback | None], ...] = (
            (matrices, self._coding, self._feedback),
            (vectors, FLOAT32, None),
        )
        for names, coding, feedback in ways:
            changes = [(self._own[name] - self._before[name]).float().cpu().view(-1) for name in names]
            if not changes:
                continue
            mean = weighted_mean(self._group, torch.cat(changes), targets, coding, feedback, center)
            parts = torch.split(mean, [len(change) for change in changes])
            for name, part in zip(names, parts, strict=True):
                before = self._before[name]
                # Two operations, each rounded as IEEE 754 says: the same bits on all processors.
                self._parameters[name].copy_(before + part.view_as(before).to(before.device, before.dtype))

    def _targets_of_all(self) -> list[int]:
        """How many targets each member's steps of the round had. All learn how long the last average took, too: four
        bits are for slow networks."""
        own = sum(report.tokens for report in self._reports.values())
        figures = _FIGURES.pack(own, self._exchange_seconds, self._coding is INT4)
        targets, seconds, has_four_bits = zip(*map(_FIGURES.unpack, self._group.gather(figures)), strict=True)
        if any(targets):
            self._num_equal = sum(targets) ** 2 / sum(one**2 for one in targets)
        self._choose_coding(max(seconds), any(has_four_bits))
        return list(targets)

    def _choose_coding(self, longest_seconds: float, has_four_bits: bool) -> None:
        """All members choose alike, newcomers too. What four bits lose comes with the next average (`Feedback`)."""
        if not self._is_coding_chosen:
            return
        limit = _SHORT_EXCHANGE_SECONDS if has_four_bits else _LONG_EXCHANGE_SECONDS
        self._coding = INT4 if longest_seconds > limit else INT8

    def _check_finite(self) -> None:
        """One member's values are its own fault, and those of all that took steps are the run's.

        Raises DivergedError on all members, or NotFiniteError on those at fault and PeerLostError on the others.
        """
        states = [tuple(data) for data in self._group.gather(bytes((not self._is_finite(), bool(self._reports))))]
        broken = [rank for rank, (is_broken, _) in enumerate(states) if is_broken]
        if not broken:
            return
        of_those_with_steps = [is_broken for is_broken, has_steps in states if has_steps]
        if of_those_with_steps and all(of_those_with_steps):
            raise DivergedError("the weights became infinite", "lower training.lr ({lr})", lr=self._lr)
        listed = ", ".join(map(str, broken))
        self._group.blame(broken, NotFiniteError("only rank {ranks} has weights that are not finite", ranks=listed))

    def _is_finite(self) -> bool:
        found = [extremes(weight.detach()) for weight in self._parameters.values()]
        return bool(torch.cat(found).isfinite().all())

    def _reports_of_all(self, round_step: int, num_steps: int) -> list[StepReport]:
        """The reports of all steps of the round, each from the member that took it."""
        zero = StepReport(step=0, loss=0.0, tokens=0, gradient_norm=0.0, learning_rate=0.0)
        steps = range(round_step + 1, round_step + num_steps + 1)
        rows = [self._reports.get(step, zero) for step in steps]
        figures = [[row.loss, float(row.tokens), row.gradient_norm, row.learning_rate] for row in rows]
        sums = self._group.sum([figure for row in figures for figure in row])
        return [
            StepReport(
                step=step,
                loss=sums[4 * number],
                tokens=int(sums[4 * number + 1]),
                gradient_norm=sums[4 * number + 2],
                learning_rate=sums[4 * number + 3],
            )
            for number, step in enumerate(steps)
        ]
