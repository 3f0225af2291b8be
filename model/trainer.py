"""One member's state in a run: model, optimiser, trained tokens. Evaluates and saves. Knows no peer, blob or address.

A `RoundMethod` takes the steps of a round and exchanges gradients or weights with the other members.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from model.arithmetic.gpt import GPT
from model.arithmetic.state import new_state, state_hash
from model.checkpoint import (
    State,
    load_beside_weights,
    load_weights,
    read_state,
    save_best,
    save_checkpoint,
)
from model.config import Config
from model.config_file import to_plain
from model.continuing import HeldOutPrompts
from model.data import PackedData
from model.errors import StateLostError
from model.evaluation import Losses, bits_per_byte, from_figures, held_out_loss, to_figures
from model.line.declare import Event
from model.line.held_out import served_loss
from model.line.training import CheckpointWritten, Span, StepsTrained, WriteCheckpoint
from model.meeting.group import Group
from model.meeting.state_transfer import agree_on_transfer, transfer_state
from model.metrics import Metrics
from model.progress import ProgressReports
from model.rollback import KeptState
from model.rounds.modes import DDP, Mode
from model.rounds.round import RoundMethod, StepProgress, StepReport
from model.tuning.choice import PLAIN, Tuning
from tokenizer.sharding.manifest import Manifest

_FIGURES = "figures"  # a tensor beside those of the training state, when it is sent to another member


class Trainer:
    """A member of a run, from its first weights to its last checkpoint. Its group may change between rounds.

    A trainer of a group keeps the state before each round. When a member is lost in the round, the others `leave` the
    group, `return_to` that state, and `regroup` without the lost one. A newcomer receives the state in `regroup`.
    """

    def __init__(
        self,
        config: Config,
        manifest: Manifest,
        data: PackedData,
        group: Group,
        total_steps: int,
        metrics: Metrics | None = None,
        report: Callable[[Event], None] = lambda event: None,
        tuning: Tuning = PLAIN,
        mode: Mode = DDP,
        pace: Callable[[], None] = lambda: None,
        prompts: HeldOutPrompts | None = None,
    ) -> None:
        """`mode` is the way to train a round. `report` takes progress events. `pace` is called before each step. With
        `prompts`, each checkpoint comes with what the weights write. Raises PeerLostError.
        """
        self._total_steps, self._tuning, self._mode, self._pace = total_steps, tuning, mode, pace
        self._config, self._manifest, self._data, self._group = config, manifest, data, group
        self._metrics, self._prompts = metrics, prompts
        torch.manual_seed(config.training.seed)
        self.model = GPT(config.model, manifest.vocab_size).to(group.device)
        self._use(tuning)
        self.state = new_state(self.model, config.training, self._agreed_dtype())
        self.tokens = 0
        self._step: int | None = 0  # the present state is that after so many steps; None: in the middle of a round
        self._kept = KeptState()
        self._method: RoundMethod | None = self._new_method()
        self._progress = ProgressReports(report)
        self._losses: Losses = None, None  # of the last evaluation
        self._best: dict[str, Tensor] | None = None  # weights that are not on the disk yet

    @property
    def device(self) -> torch.device:
        """Where this member computes, or the first of its devices."""
        return self._group.device

    @property
    def tokens_per_second(self) -> float:
        """This device's speed while it computes; 0 before the second step."""
        return self._method.tokens_per_second if self._method else 0.0

    @property
    def state_hash(self) -> str:
        """The hash of the present weights, as in StepsTrained."""
        return state_hash(self.model.state_dict())

    def adopt(self, tuning: Tuning) -> None:
        """Compute so from the next round on."""
        self._tuning = tuning
        self._use(tuning)
        if self._method:
            self._method.adopt(tuning)

    def leave(self) -> None:
        """Leave the group, and close its connections, also in the middle of a round that has failed."""
        if self._method:
            self._method.close()
            self._method = None
        self._group.leave()
        self._group = Group(0, 1, self._group.device)

    def return_to(self, step: int) -> None:
        """Take the state after `step` steps: the present one, or the one before the last round.

        Raises StateLostError if it is neither.
        """
        if step == self._step:
            return
        if step != self._kept.step:
            raise StateLostError(step)
        self.tokens, self._losses = self._kept.put_back(self.state)
        self._step = step

    def regroup(
        self,
        group: Group,
        step: int,
        holders: Sequence[int],
        metrics: Metrics | None,
        prompts: HeldOutPrompts | None,
    ) -> None:
        """Train on with `group`, after `leave`, from the state after `step` steps.

        The ranks `holders` have it, after `return_to`, and send it to the others. Raises PeerLostError,
        StateRefusedError.
        """
        self._group, self._metrics, self._prompts = group, metrics, prompts
        if len(set(holders)) < group.size:
            self._share_state(step, holders)
        self.state.optimizer.orthogonalise_in(self._agreed_dtype())
        self._method = self._new_method()
        if group.size == 1:
            self._kept.forget()  # nobody can be lost

    def resume(self, weights: Path, state: Path, beside_weights: Path | None) -> None:
        """Load a checkpoint. Without the tensors `beside_weights` it is only the model that a new run starts from, at
        step 0.

        Raises CheckpointError.
        """
        found = read_state(state)
        load_weights(weights, self.model)
        self.state.average.restart()
        self._step = 0
        if beside_weights is not None:
            load_beside_weights(beside_weights, self.state)
            self.tokens, self._step = found.tokens, found.step

    def train_round(self, first_step: int, spans: Sequence[Span], evaluate: bool) -> StepsTrained:
        """Take one step for each span; afterwards all members have the same weights.

        Raises DivergedError, NotFiniteError, PeerLostError, StateLostError, StateRefusedError, ValueError (no group).
        """
        method = self._begin_round(first_step)
        tokens_before = self.tokens
        reports = method.take_steps(first_step, spans, self._note_step)
        self._progress.end_round()
        self.tokens = tokens_before + sum(report.tokens for report in reports)
        digest, exchange_seconds = _timed(method.synchronize_weights)
        val_loss = average_val_loss = None
        if evaluate:
            val_loss = self._held_out_loss()
            with self.state.average.in_place_of_live():
                average_val_loss = self._held_out_loss()
            self._losses = val_loss, average_val_loss
        self._step = first_step + len(spans)
        self._record(reports, self._step, val_loss, average_val_loss)
        return StepsTrained(
            state_hash=digest,
            tokens=self.tokens,
            loss=reports[-1].loss if reports else None,
            val_loss=val_loss,
            val_bits_per_byte=bits_per_byte(val_loss, self._manifest.held_out),
            average_val_loss=average_val_loss,
            exchange_seconds=exchange_seconds,
        )

    def keep_best(self) -> None:
        """Keep a copy of the weights that were evaluated last: of the live or the averaged ones, which are better."""
        self._best = {name: tensor.detach().clone() for name, tensor in self._better_weights().items()}

    def save(self, folder: Path, run: str, call: WriteCheckpoint) -> CheckpointWritten:
        """Write a checkpoint under `folder`, and the best weights if they are new. Raises OSError."""
        digest, best, record = self.state_hash, self._best, call.held_out
        state = State(
            run=run,
            step=call.step,
            tokens=call.tokens,
            config=to_plain(self._config),
            vocab_size=self._manifest.vocab_size,
            tokenizer=self._manifest.tokenizer,
            state_hash=digest,
            val_loss=call.val_loss,
            held_out=asdict(record),
        )
        path = save_checkpoint(folder, self.state, state)
        texts = self._prompts.continued_by(self._better_weights()) if self._prompts else ()
        loss = served_loss(*self._losses)
        written = CheckpointWritten(name=path.name, state_hash=digest, continuations=texts, served_loss=loss)
        if best is None:
            return written
        best_digest = state_hash(best)
        of_best = replace(state, step=record.best_step, val_loss=record.best_loss, state_hash=best_digest)
        written = replace(written, best=save_best(folder, best, of_best).name, best_state_hash=best_digest)
        self._best = None  # it is on the disk now
        return written

    def _share_state(self, step: int, holders: Sequence[int]) -> None:
        """A receiver gives up its own state when the first bytes come, and the kept one when all have come."""
        tensors = {**self._mode.common(self.state), _FIGURES: to_figures(self.tokens, self._losses)}
        transfer = agree_on_transfer(self._group, f"after step {step}", holders, tensors)
        if self._group.rank in transfer.senders:
            transfer_state(self._group, transfer, tensors)
            return
        self._step = None
        transfer_state(self._group, transfer, tensors)
        self.tokens, self._losses = from_figures(tensors[_FIGURES])
        self._step, self._best = step, None
        self._kept.forget()

    def _begin_round(self, first_step: int) -> RoundMethod:
        if self._method is None:
            raise ValueError("the trainer is in no group")
        if first_step != self._step:
            raise StateLostError(first_step)
        if self._group.size > 1:
            self._kept.keep(self.state, first_step, self.tokens, self._losses)
        self._step = None
        self._progress.begin_round()
        return self._method

    def _new_method(self) -> RoundMethod:
        return self._mode.make_method(
            self._config.training, self._total_steps, self._tuning, self._data, self._group, self.state, self._pace
        )

    def _use(self, tuning: Tuning) -> None:
        self.model.compute_dtype, self._micro_batch = tuning.torch_dtype, tuning.micro_batch
        if tuning.is_compiled:
            self.model.compile_layers()

    def _better_weights(self) -> dict[str, Tensor]:
        """The live or the averaged weights: those that had the lower loss at the last evaluation. Not copied."""
        live, average = self._losses
        is_average_better = average is not None and (live is None or average < live)
        return self.state.average.weights() if is_average_better else self.model.state_dict()

    def _agreed_dtype(self) -> torch.dtype:
        """The precision of Muon's orthogonalisation, the same on all members: bfloat16 if it suits all of them."""
        num_bfloat16 = self._group.sum([1.0 if self._tuning.torch_dtype == torch.bfloat16 else 0.0])[0]
        return torch.bfloat16 if num_bfloat16 == self._group.size else torch.float32

    def _held_out_loss(self) -> float | None:
        return held_out_loss(self.model, self._data, self._group, self._micro_batch)

    def _record(
        self, reports: Sequence[StepReport], step: int, val_loss: float | None, average_val_loss: float | None
    ) -> None:
        if not self._metrics:
            return
        for report in reports:
            self._metrics.record(
                report.step,
                loss=report.loss,
                gradient_norm=report.gradient_norm,
                learning_rate=report.learning_rate,
            )
        self._metrics.record(
            step,
            val_loss=val_loss,
            average_val_loss=average_val_loss,
            val_bits_per_byte=bits_per_byte(val_loss, self._manifest.held_out),
            tokens_per_second=self.tokens_per_second,
        )
        self._metrics.flush()

    def _note_step(self, progress: StepProgress) -> None:
        self.tokens += progress.tokens
        self._progress.note(progress, self.tokens)


def _timed(work: Callable[[], str]) -> tuple[str, float]:
    """The result of `work`, and the seconds that it took."""
    started = time.perf_counter()
    return work(), time.perf_counter() - started
