"""Synchronous rounds: all members take each step together (PyTorch DistributedDataParallel, Li et al. 2020).

One step of k members equals one step of a single device on all their samples. Each member sums the losses of its own
targets and divides by the number of targets of *all* members; the factor k undoes DDP's averaging over members.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from model.arithmetic.gpt import GPT, IGNORED
from model.arithmetic.optim import learning_rate
from model.checkpoint import state_hash
from model.config import TrainingConfig
from model.data import PackedData
from model.errors import DivergedError
from model.line.training import Span
from model.meeting.group import Group
from model.rounds.round import StepReport
from model.rounds.speed import ComputeMeter

_log = logging.getLogger(__name__)
_MAX_GRADIENT_NORM = 1.0
_WARM_UP_STEPS = 1  # the first step of a process allocates memory, so it does not count as speed


class SynchronousRounds:
    """The `RoundMethod` in which members average gradients at every step, weighted by their numbers of targets."""

    def __init__(
        self,
        config: TrainingConfig,
        total_steps: int,
        data: PackedData,
        group: Group,
        model: GPT,
        optimizer: torch.optim.Optimizer,
        pace: Callable[[], None] = lambda: None,
    ) -> None:
        self._config, self._total_steps, self._data, self._group = config, total_steps, data, group
        self._model, self._optimizer, self._pace = model, optimizer, pace
        self._averaging_model: nn.Module | None = None
        self._meter = ComputeMeter(model)
        self._num_steps = 0  # of this process

    def take_steps(
        self, first_step: int, spans: Sequence[Span], on_step: Callable[[StepReport], None]
    ) -> StepReport | None:
        """See `RoundMethod`. The first call gives every member the weights of rank 0, so load a checkpoint before."""
        if self._averaging_model is None:
            self._averaging_model = self._group.wrap(self._model)
        report = None
        for step, span in enumerate(spans, first_step):
            self._pace()  # between steps: here this device may rest, or change its number of threads
            report = self._take_step(self._averaging_model, step, span)
            on_step(report)
        return report

    def synchronize_weights(self) -> str:
        """See `RoundMethod`. Unlike processors may differ in the last bits of a sum: then all take rank 0's state."""
        digest = state_hash(self._model)
        if self._group.agree(bytes.fromhex(digest)):
            return digest
        _log.warning("the members' weights differ in the last bits; all take those of rank 0")
        moments = [t for state in self._optimizer.state.values() for t in state.values() if t.dim() > 0]
        with torch.no_grad():
            self._group.broadcast([*self._model.state_dict().values(), *moments])
        return state_hash(self._model)

    def _take_step(self, model: nn.Module, step: int, span: Span) -> StepReport:
        started = time.perf_counter()
        # 1. This member's rows, and the number of targets of all members.
        batch = self._data.batch(span.epoch, span.start, span.stop)
        inputs, targets = (tensor.to(self._group.device) for tensor in batch)  # (B, T), (B, T)
        num_targets = int((targets != IGNORED).sum())
        num_targets_of_all = max(1.0, self._group.sum([num_targets])[0])
        # 2. Gradients, averaged over the members.
        self._model.train()
        torch.manual_seed(_dropout_seed(self._config.seed, step, self._group.rank))
        with self._meter:
            loss_sum: Tensor = model(inputs, targets)  # ()
            with self._group.communicating():  # DDP exchanges gradients inside the backward pass
                (loss_sum * (self._group.size / num_targets_of_all)).backward()  # type: ignore[no-untyped-call]
        # 3. The same update on every member.
        rate = learning_rate(self._config, step, self._total_steps)
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate
        gradient_norm = nn.utils.clip_grad_norm_(self._model.parameters(), _MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        # 4. The loss over all members, and this device's speed.
        loss = self._group.sum([loss_sum.item()])[0] / num_targets_of_all
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} at step {step}", f"lower training.lr ({self._config.lr})")
        self._num_steps += 1
        if self._num_steps > _WARM_UP_STEPS:
            self._meter.count(num_targets, time.perf_counter() - started)
        return StepReport(
            step=step + 1,
            loss=loss,
            tokens=int(num_targets_of_all),
            gradient_norm=float(gradient_norm),
            learning_rate=rate,
            tokens_per_second=self._meter.tokens_per_second,
            idle_fraction=self._meter.idle_fraction,
        )


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """Every step and rank drops other units, and a resumed run drops the same ones again."""
    return (seed * 1_000_003 + step) * 4096 + rank
