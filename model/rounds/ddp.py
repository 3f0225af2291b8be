"""Synchronous rounds: all members take each step together (PyTorch DistributedDataParallel, Li et al. 2020).

One step of k members equals one step of a single device on all their samples. Each member sums the losses of its own
targets and divides by the number of targets of *all* members; the factor k undoes DDP's averaging over members.

A member computes its rows in micro-batches, whose gradients add up; only the last one exchanges them. Members exchange
counts of targets at the start of a round and losses at its end, so nothing waits for a number inside a step. If values
were not finite, they also learn at its end whose (`finiteness`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.arithmetic.schedule import rate_factor
from model.arithmetic.state import TrainingState
from model.config import TrainingConfig
from model.data import Batch, PackedData, prefetched
from model.line.training import Span
from model.meeting.group import Group
from model.rounds.agreement import agree_on_weights
from model.rounds.finiteness import OwnGradients, check_steps, first_not_finite
from model.rounds.replicas import Replicas
from model.rounds.round import TO_THE_END, Ending, StepProgress, StepReport
from model.rounds.speed import ComputeMeter
from model.tuning.choice import Tuning

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
        state: TrainingState,
        pace: Callable[[], None] = lambda: None,
        exchange: str = "auto",
    ) -> None:
        """`pace` is called before each step. With any `exchange` of fewer bits than float32 gradients travel in
        bfloat16: then a step equals that of one device to three digits, and not exactly."""
        self._config, self._total_steps, self._micro_batch = config, total_steps, tuning.micro_batch
        self._data, self._state, self._pace = data, state, pace
        self._group = Group(0, 1, state.model.embed_tokens.weight.device)
        self._averaging_model: nn.Module | None = None
        self._own_gradients = OwnGradients()
        self._travels_in = None if exchange in ("auto", "float32") else torch.bfloat16
        self._replicas = Replicas(state.model, [torch.device(name) for name in tuning.further_devices])
        self._meter = ComputeMeter(state.model)
        self._num_steps = 0  # of this process
        self._update_seconds = 0.0  # of the last step
        self.rate_factor = 1.0  # times the learning rate of the schedule
        self.averages_steps = True  # the averaged weights follow each step

    @property
    def tokens_per_second(self) -> float:
        """See `RoundMethod`."""
        return self._meter.tokens_per_second

    def join(self, group: Group) -> None:
        """See `RoundMethod`."""
        self._group = group

    def leave(self) -> None:
        """See `RoundMethod`. DDP's hooks on the parameters go with its wrapper; its gradients lie in its buckets."""
        self._group = Group(0, 1, self._group.device)
        self._averaging_model = None
        self._own_gradients = OwnGradients()
        for parameter in self._state.model.parameters():
            parameter.grad = None

    def take_steps(
        self,
        first_step: int,
        spans: Sequence[Span],
        on_step: Callable[[StepProgress], None],
        ending: Ending = TO_THE_END,
    ) -> list[StepReport]:
        """See `RoundMethod`. In the first call all members take the state of rank 0 if their weights differ."""
        if self._averaging_model is None:
            if self._group.size > 1:
                self.synchronize_weights()
            self._averaging_model = self._group.wrap(self._state.model, self._own_gradients.watch, self._travels_in)
        # 1. The targets of all members in each step.
        tokens, num_training = self._targets_of_all(spans)
        # 2. The steps.
        losses, own_gradients, norms = [], [], []
        for number, batch in enumerate(prefetched(self._data, spans, self._group.device)):
            self._pace()  # between steps: here this device may rest, or change its number of threads
            started = time.perf_counter()
            taken = self._take_step(self._averaging_model, first_step + number, batch, tokens[number], ending)
            if taken is None:
                break
            loss_sum, norm = taken
            losses.append(loss_sum)
            own_gradients.append(self._own_gradients.end_step())
            norms.append(norm)
            self._num_steps += 1
            if self._num_steps > _WARM_UP_STEPS:
                self._meter.count(batch.num_targets, time.perf_counter() - started, self._update_seconds)
            on_step(self._progress(first_step + number + 1, loss_sum, batch.num_targets, tokens[number]))
            if self._group.size == 1 and ending.is_stopped():
                break
        # 3. The losses over all members.
        if not losses:
            return []
        own_losses, norms_of_all = torch.stack(losses).tolist(), torch.stack(norms).tolist()
        first = first_not_finite(own_losses, torch.stack(own_gradients).tolist(), norms_of_all)
        loss_sums = self._losses_of_all(first_step, own_losses, first, num_training)
        return self._reports(first_step, tokens, loss_sums, norms_of_all)

    def adopt(self, tuning: Tuning) -> None:
        """See `RoundMethod`. The further devices stay as they are."""
        self._micro_batch = tuning.micro_batch
        self._meter.close()
        self._meter = ComputeMeter(self._state.model)
        self._num_steps = 0

    def synchronize_weights(self) -> str:
        """See `RoundMethod`."""
        return agree_on_weights(self._group, self._state, self._state.named_tensors())

    def note_wait(self, seconds: float) -> None:
        """This device has waited for others, or exchanged with them, so long after its last step."""
        self._meter.count_wait(seconds)

    def _targets_of_all(self, spans: Sequence[Span]) -> tuple[list[int], list[int]]:
        """For each step the targets of all members, and how many members have any."""
        own = [self._data.num_targets(span) for span in spans]
        totals = [int(total) for total in self._group.sum([*own, *(float(targets > 0) for targets in own)])]
        return totals[: len(own)], totals[len(own) :]

    def _take_step(
        self, model: nn.Module, step: int, batch: Batch, num_targets: int, ending: Ending
    ) -> tuple[Tensor, Tensor] | None:
        """The sum of this member's losses, and the norm of all members' gradient before clipping. None: it was cut, and
        nothing has changed."""
        # 1. Gradients, averaged over the members.
        self._state.model.train()
        torch.manual_seed(_dropout_seed(self._config.seed, step, self._group.rank))
        with self._meter:
            loss_sum = self._backward(model, batch, self._group.size / max(1, num_targets), ending)
        if loss_sum is None:
            self._state.model.zero_grad(set_to_none=True)
            return None
        # 2. The same update on every member.
        update_started = time.perf_counter()
        norm = nn.utils.clip_grad_norm_(self._state.model.parameters(), _MAX_GRADIENT_NORM)
        self._state.optimizer.step(self._rate(step))
        if self.averages_steps:
            self._state.average.update(step)
        self._update_seconds = time.perf_counter() - update_started
        return loss_sum, norm

    def _backward(self, model: nn.Module, batch: Batch, factor: float, ending: Ending) -> Tensor | None:
        """Add up the gradients of `factor` times the losses. Returns the sum of the losses, without the factor; None if
        it was cut: other members of a process group would wait for the rest."""
        total = torch.zeros((), device=self._group.device)
        parts, of_replicas = self._replicas.start(batch.split(self._micro_batch), factor)
        for number, part in enumerate(parts):
            if self._group.size == 1 and ending.is_cut():
                self._replicas.finish(of_replicas)
                return None
            is_last = number == len(parts) - 1
            if is_last:
                total += self._replicas.finish(of_replicas)
            ddp = model if isinstance(model, DistributedDataParallel) else None
            with ddp.no_sync() if ddp and not is_last else contextlib.nullcontext():
                loss_sum: Tensor = model(*part)  # ()
                with self._group.communicating():  # DDP exchanges gradients inside the last backward pass
                    (loss_sum * factor).backward()  # type: ignore[no-untyped-call]
                    if ddp and is_last:
                        ddp.reducer._rebuild_buckets()  # else the second forward pass exchanges their order
            total += loss_sum.detach()
        return total

    def _rate(self, step: int) -> float:
        return self.rate_factor * self._config.lr * rate_factor(step, self._total_steps, self._config.warmup_steps)

    def _progress(self, step: int, loss_sum: Tensor, own_tokens: int, tokens: int) -> StepProgress:
        return StepProgress(
            step=step,
            loss_sum=loss_sum,
            own_tokens=own_tokens,
            tokens=tokens,
            tokens_per_second=self._meter.tokens_per_second,
            idle_fraction=self._meter.idle_fraction,
        )

    def _losses_of_all(
        self, first_step: int, own_losses: Sequence[float], own_first: int, num_training: Sequence[int]
    ) -> list[float]:
        """For each step the sum of the losses of all members. `own_first` is this member's `first_not_finite`.

        Raises DivergedError, NotFiniteError, PeerLostError.
        """
        numbers = [float(own_first) if rank == self._group.rank else 0.0 for rank in range(self._group.size)]
        sums = self._group.sum([*own_losses, *numbers])
        loss_sums, numbers = sums[: len(own_losses)], sums[len(own_losses) :]
        check_steps(self._group, first_step, loss_sums, [int(each) for each in numbers], num_training, self._config.lr)
        return loss_sums

    def _reports(
        self, first_step: int, tokens: Sequence[int], losses: Sequence[float], norms: Sequence[float]
    ) -> list[StepReport]:
        return [
            StepReport(
                step=first_step + number + 1,
                loss=loss / max(1, tokens[number]),
                tokens=tokens[number],
                gradient_norm=norm,
                learning_rate=self._rate(first_step + number),
            )
            for number, (loss, norm) in enumerate(zip(losses, norms, strict=True))
        ]


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    """Every step and rank drops other units, and a resumed run drops the same ones again."""
    return (seed * 1_000_003 + step) * 4096 + rank
