"""Synchronous rounds: all members take each step together (PyTorch DistributedDataParallel, Li et al. 2020).

One step of k members equals one step of a single device on all their samples. Each member sums the losses of its own
targets and divides by the number of targets of *all* members; the factor k undoes DDP's averaging over members.

A member computes its rows in micro-batches, whose gradients add up; only the last one exchanges them. Members exchange
counts of targets at the start of a round and losses at its end, so nothing waits for a number inside a step.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.arithmetic.schedule import rate_factor
from model.arithmetic.state import TrainingState
from model.checkpoint import state_hash
from model.config import TrainingConfig
from model.data import Batch, PackedData, prefetched
from model.errors import DivergedError
from model.line.training import Span
from model.meeting.group import Group
from model.rounds.replicas import Replicas
from model.rounds.round import StepProgress, StepReport
from model.rounds.speed import ComputeMeter
from model.tuning.choice import Tuning

_log = logging.getLogger(__name__)
_MAX_GRADIENT_NORM = 1.0
_WARM_UP_STEPS = 1  # the first step of a process allocates memory, so it does not count as speed


class SynchronousRounds:
    """The `RoundMethod` in which members average gradients at every step, weighted by their numbers of targets."""

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
        self._config, self._total_steps, self._micro_batch = config, total_steps, tuning.micro_batch
        self._data, self._group, self._state, self._pace = data, group, state, pace
        self._averaging_model: nn.Module | None = None
        self._replicas = Replicas(state.model, [torch.device(name) for name in tuning.further_devices])
        self._meter = ComputeMeter(state.model)
        self._num_steps = 0  # of this process

    @property
    def tokens_per_second(self) -> float:
        """See `RoundMethod`."""
        return self._meter.tokens_per_second

    def take_steps(
        self, first_step: int, spans: Sequence[Span], on_step: Callable[[StepProgress], None]
    ) -> list[StepReport]:
        """See `RoundMethod`. The first call gives every member the weights of rank 0, so load a checkpoint before."""
        if self._averaging_model is None:
            self._averaging_model = self._group.wrap(self._state.model)
        # 1. The targets of all members in each step.
        tokens = self._targets_of_all(spans)
        # 2. The steps.
        losses, norms = [], []
        for number, batch in enumerate(prefetched(self._data, spans, self._group.device)):
            self._pace()  # between steps: here this device may rest, or change its number of threads
            started = time.perf_counter()
            loss_sum, norm = self._take_step(self._averaging_model, first_step + number, batch, tokens[number])
            losses.append(loss_sum)
            norms.append(norm)
            self._num_steps += 1
            if self._num_steps > _WARM_UP_STEPS:
                self._meter.count(batch.num_targets, time.perf_counter() - started)
            on_step(self._progress(first_step + number + 1, loss_sum, batch.num_targets, tokens[number]))
        # 3. The losses over all members.
        return self._reports(first_step, tokens, losses, norms)

    def adopt(self, tuning: Tuning) -> None:
        """See `RoundMethod`. The further devices stay as they are."""
        self._micro_batch = tuning.micro_batch
        self._meter.close()
        self._meter = ComputeMeter(self._state.model)
        self._num_steps = 0

    def synchronize_weights(self) -> str:
        """See `RoundMethod`. Unlike processors may differ in the last bits of a sum: then all take rank 0's state."""
        digest = state_hash(self._state.model.state_dict())
        if self._group.agree(bytes.fromhex(digest)):
            return digest
        _log.warning("the members' weights differ in the last bits; all take those of rank 0")
        with torch.no_grad():
            weights = self._state.model.state_dict()
            self._group.broadcast([*weights.values(), *self._state.tensors_beside_weights().values()])
        return state_hash(self._state.model.state_dict())

    def close(self) -> None:
        """See `RoundMethod`. DDP's hooks on the parameters go with its wrapper; its gradients lie in its buckets."""
        self._averaging_model = None
        self._meter.close()
        self._replicas.close()
        for parameter in self._state.model.parameters():
            parameter.grad = None

    def _targets_of_all(self, spans: Sequence[Span]) -> list[int]:
        if self._group.size == 1:
            return [self._data.num_targets(span) for span in spans]
        return [int(total) for total in self._group.sum([self._data.num_targets(span) for span in spans])]

    def _take_step(self, model: nn.Module, step: int, batch: Batch, num_targets: int) -> tuple[Tensor, Tensor]:
        """The sum of this member's losses, and the norm of all members' gradient before clipping."""
        # 1. Gradients, averaged over the members.
        self._state.model.train()
        torch.manual_seed(_dropout_seed(self._config.seed, step, self._group.rank))
        with self._meter:
            loss_sum = self._backward(model, batch, self._group.size / max(1, num_targets))
        # 2. The same update on every member.
        norm = nn.utils.clip_grad_norm_(self._state.model.parameters(), _MAX_GRADIENT_NORM)
        self._state.optimizer.step(self._rate(step))
        self._state.average.update(step)
        return loss_sum, norm

    def _backward(self, model: nn.Module, batch: Batch, factor: float) -> Tensor:
        """Add up the gradients of `factor` times the losses. Returns the sum of the losses, without the factor."""
        total = torch.zeros((), device=self._group.device)
        parts, of_replicas = self._replicas.start(batch.split(self._micro_batch), factor)
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            if is_last:
                total += self._replicas.finish(of_replicas)
            alone = contextlib.nullcontext()
            with model.no_sync() if isinstance(model, DistributedDataParallel) and not is_last else alone:
                loss_sum: Tensor = model(*part)  # ()
                with self._group.communicating():  # DDP exchanges gradients inside the last backward pass
                    (loss_sum * factor).backward()  # type: ignore[no-untyped-call]
            total += loss_sum.detach()
        return total

    def _rate(self, step: int) -> float:
        return self._config.lr * rate_factor(step, self._total_steps, self._config.warmup_steps)

    def _progress(self, step: int, loss_sum: Tensor, own_tokens: int, tokens: int) -> StepProgress:
        return StepProgress(
            step=step,
            loss_sum=loss_sum,
            own_tokens=own_tokens,
            tokens=tokens,
            tokens_per_second=self._meter.tokens_per_second,
            idle_fraction=self._meter.idle_fraction,
        )

    def _reports(
        self, first_step: int, tokens: Sequence[int], losses: Sequence[Tensor], norms: Sequence[Tensor]
    ) -> list[StepReport]:
        """Raises DivergedError, PeerLostError."""
        if not losses:
            return []
        loss_of_all = self._group.sum(torch.stack(list(losses)).tolist())
        reports = []
        for number, (loss, norm) in enumerate(zip(loss_of_all, torch.stack(list(norms)).tolist(), strict=True)):
            step, mean = first_step + number, loss / max(1, tokens[number])
            if not math.isfinite(mean) or not math.isfinite(norm):
                what = "the gradient became infinite at step {step}"
                if not math.isfinite(mean):
                    what = "the loss became {loss} at step {step}"
                raise DivergedError(what, "lower training.lr ({lr})", loss=mean, step=step, lr=self._config.lr)
            reports.append(
                StepReport(
                    step=step + 1,
                    loss=mean,
                    tokens=tokens[number],
                    gradient_norm=norm,
                    learning_rate=self._rate(step),
                )
            )
        return reports


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """Every step and rank drops other units, and a resumed run drops the same ones again."""
    return (seed * 1_000_003 + step) * 4096 + rank
