"""One member's state in a run: model, optimiser, trained tokens. Evaluates and saves. Knows no peer, blob or address.

A `RoundMethod` takes the steps of a round and exchanges gradients or weights with the other members.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from model.arithmetic.gpt import GPT
from model.arithmetic.state import new_state, state_hash
from model.checkpoint import load_beside_weights, load_weights, read_state
from model.config import Config
from model.continuing import HeldOutPrompts
from model.data import PackedData
from model.errors import StateLostError
from model.evaluation import Losses, bits_per_byte, from_figures, held_out_losses, to_figures
from model.keeping import Keeper
from model.line.declare import Event
from model.line.training import CheckpointWritten, Span, StepsTaken, StepsTrained, WriteCheckpoint
from model.meeting.group import Group
from model.meeting.state_transfer import agree_on_transfer, transfer_state
from model.metrics import Metrics
from model.progress import OwnRound, ProgressReports
from model.rollback import KeptState
from model.rounds.modes import DDP, Mode
from model.rounds.round import Ending, LocalMethod, RoundMethod, StepProgress, StepReport
from model.tuning.choice import PLAIN, Tuning
from tokenizer.sharding.manifest import Manifest

_FIGURES = "figures"  # a tensor beside those of the training state, when it is sent to another member


class Trainer:
    """A member of a run, from its first weights to its last checkpoint. Its group may change between rounds.

    A trainer of a group keeps the state before each round. When a member is lost in the round, the others `leave` the
    group, `return_to` that state, and `regroup` without the lost one. A newcomer receives the state in `regroup`. In
    the mode `local` the others may also `continue_round`: the steps that they have taken stay.
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
        self._mode, self._manifest, self._data, self._group = mode, manifest, data, group
        self._metrics, self._prompts = metrics, prompts
        torch.manual_seed(config.training.seed)
        self.model = GPT(config.model, manifest.vocab_size).to(group.device)
        self._use(tuning)
        self.state = new_state(self.model, config.training, self._agreed_dtype())
        self.tokens = 0
        self._step: int | None = 0  # the present state is that after so many steps; None: in the middle of a round
        self._round: OwnRound | None = None  # the local round that is under way, or was the last one
        self._kept = KeptState()
        self._keeper = Keeper(config, manifest, self.state)
        self._method: RoundMethod = mode.make_method(
            config.training, total_steps, tuning, data, self.state, pace, config.distributed.exchange
        )
        self._method.join(group)
        self._is_in_group = True
        self._progress = ProgressReports(report)
        self._losses: Losses = None, None  # of the last evaluation

    @property
    def device(self) -> torch.device:
        """Where this member computes, or the first of its devices."""
        return self._group.device

    @property
    def tokens_per_second(self) -> float:
        """This device's speed while it computes; 0 before the second step."""
        return self._method.tokens_per_second

    @property
    def state_hash(self) -> str:
        """The hash of the present weights, as in StepsTrained."""
        return state_hash(self.model.state_dict())

    def adopt(self, tuning: Tuning) -> None:
        """Compute so from the next round on."""
        self._use(tuning)
        self._method.adopt(tuning)

    def leave(self) -> None:
        """Leave the group, and close its connections, also in the middle of a round that has failed."""
        self._method.leave()
        self._is_in_group = False
        self._group.leave()
        self._group = Group(0, 1, self._group.device)

    def return_to(self, step: int) -> None:
        """Take the state after `step` steps: the present one, or the one before the last round.

        Raises StateLostError if it is neither.
        """
        self._forget_round()
        if step == self._step:
            return
        if step != self._kept.step:
            raise StateLostError(step)
        self.tokens, self._losses = self._kept.put_back(self.state)
        self._step = step

    def continue_round(self, step: int) -> None:
        """Take the own state in the local round after `step` steps again, if its average was begun or is there already.
        Raises StateLostError if that is not the last round of this trainer."""
        if self._step == step:  # this member has taken no step of the round
            return
        if self._round is None or self._round.step_before != step:
            raise StateLostError(step)
        self._local.continue_round()
        self._kept.put_back_average(self.state)
        self._step, self.tokens = None, self._round.tokens_before + self._round.tokens

    def regroup(
        self,
        group: Group,
        step: int,
        holders: Sequence[int],
        metrics: Metrics | None,
        prompts: HeldOutPrompts | None,
    ) -> None:
        """Train on with `group`, after `leave`, from the state after `step` steps, or in the round after it.

        The ranks `holders` have it, after `return_to` or `continue_round`, and send it to the others. Raises
        PeerLostError, StateRefusedError.
        """
        self._group, self._metrics, self._prompts = group, metrics, prompts
        if len(set(holders)) < group.size:
            self._share_state(step, holders)
        self.state.optimizer.orthogonalise_in(self._agreed_dtype())
        self._method.join(group)
        self._is_in_group = True
        if group.size == 1 and self._round is None:
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
        self._begin_round(first_step)
        tokens_before = self.tokens
        reports = self._method.take_steps(first_step, spans, self._note_step)
        self._progress.end_round()
        return self._end_round(first_step + len(spans), tokens_before, reports, evaluate, time.monotonic())

    def take_steps(self, round_step: int, first_step: int, spans: Sequence[Span], ending: Ending) -> StepsTaken:
        """Take steps of the local round after `round_step` steps, without the other members; fewer, if so `ending`.

        Raises as `train_round`, without PeerLostError.
        """
        self._local_round(round_step)
        reports = self._local.take_steps(first_step, spans, self._note_own_step, ending)
        self._progress.end_round()
        return StepsTaken(count=len(reports), tokens=sum(report.tokens for report in reports))

    def average_weights(
        self, round_step: int, num_steps: int, evaluate: bool, center: int | None = None
    ) -> StepsTrained:
        """End the local round after `round_step` steps (`AverageWeights`). Raises as `train_round`."""
        if not self._is_in_group:
            raise ValueError("the trainer is in no group")
        own, started = self._local_round(round_step), time.monotonic()
        reports = self._local.average(round_step, num_steps, center)
        return self._end_round(round_step + num_steps, own.tokens_before, reports, evaluate, started)

    def _end_round(
        self, step: int, tokens_before: int, reports: Sequence[StepReport], is_evaluated: bool, exchange_started: float
    ) -> StepsTrained:
        """All steps are taken: make the weights equal, evaluate them if asked, and write the figures down."""
        self.tokens = tokens_before + sum(report.tokens for report in reports)
        digest = self._method.synchronize_weights()
        exchange_seconds = time.monotonic() - exchange_started
        losses: Losses = (None, None)
        if is_evaluated:
            losses = self._losses = held_out_losses(self.state, self._data, self._group, self._tuning.micro_batch)
        self._step, bits = step, bits_per_byte(losses[0], self._manifest.held_out)
        trained = StepsTrained(
            state_hash=digest,
            tokens=self.tokens,
            loss=reports[-1].loss if reports else None,
            val_loss=losses[0],
            val_bits_per_byte=bits,
            average_val_loss=losses[1],
            exchange_seconds=exchange_seconds,
        )
        if self._metrics:
            self._metrics.record_round(reports, trained, step, self.tokens_per_second)
        return trained

    def keep_best(self) -> None:
        """See `Keeper`."""
        self._keeper.keep_best(self._losses)

    def save(self, folder: Path, run: str, call: WriteCheckpoint) -> CheckpointWritten:
        """Write a checkpoint under `folder`, and the best weights if they are new. Raises OSError."""
        return self._keeper.save(folder, run, call, self._losses, self._prompts)

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
        self._step = step
        self._keeper.forget_best()
        self._kept.forget()

    @property
    def _local(self) -> LocalMethod:
        """Raises ValueError if all steps of this run are taken together."""
        if not isinstance(self._method, LocalMethod):
            raise ValueError("this run has no local rounds")
        return self._method

    def _local_round(self, step: int) -> OwnRound:
        """The local round after `step` steps: it begins, or is under way. Raises StateLostError, ValueError."""
        if self._step is not None:
            self._begin_round(step)
            self._local.begin_round()
            self._round = OwnRound(step, self.tokens)
        if self._round is None or self._round.step_before != step:
            raise StateLostError(step)
        return self._round

    def _forget_round(self) -> None:
        self._round = None
        if isinstance(self._method, LocalMethod):
            self._method.forget_round()

    def _begin_round(self, first_step: int) -> None:
        if not self._is_in_group:
            raise ValueError("the trainer is in no group")
        if first_step != self._step:
            raise StateLostError(first_step)
        self._forget_round()
        if self._group.size > 1:
            self._kept.keep(self.state, first_step, self.tokens, self._losses)
        self._step = None
        self._progress.begin_round()

    def _use(self, tuning: Tuning) -> None:
        self._tuning = tuning
        self.model.compute_dtype = tuning.torch_dtype
        if tuning.is_compiled:
            self.model.compile_layers()

    def _agreed_dtype(self) -> torch.dtype:
        """The precision of Muon's orthogonalisation, the same on all members: bfloat16 if it suits all of them."""
        num_bfloat16 = self._group.sum([1.0 if self._tuning.torch_dtype == torch.bfloat16 else 0.0])[0]
        return torch.bfloat16 if num_bfloat16 == self._group.size else torch.float32

    def _note_step(self, progress: StepProgress) -> None:
        self.tokens += progress.tokens
        self._progress.note(progress, self.tokens)

    def _note_own_step(self, progress: StepProgress) -> None:
        assert self._round
        self._progress.note(*self._round.count(progress))
