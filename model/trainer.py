"""One member's state in a run: model, optimiser, trained tokens. Evaluates and saves. Knows no peer, blob or address.

A `RoundMethod` takes the steps of a round and exchanges gradients or weights with the other members.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from model.arithmetic.gpt import GPT, IGNORED
from model.arithmetic.optim import make_optimizer
from model.checkpoint import State, load_optimizer, load_weights, read_state, save_checkpoint, state_hash
from model.config import Config
from model.data import PackedData
from model.line.declare import Event
from model.line.training import Span, StepsProgressed, StepsTrained
from model.meeting.group import Group
from model.metrics import Metrics
from model.rounds.ddp import SynchronousRounds
from model.rounds.round import MakeRoundMethod, StepReport
from tokenizer.sharding.manifest import Manifest

_PROGRESS_SECONDS = 0.5  # the least time between two progress events
_MAX_HELD_OUT_ROWS = 64  # an evaluation takes the first rows, so its losses are comparable


class Trainer:
    """A member of a run, from its first weights to its last checkpoint."""

    def __init__(
        self,
        config: Config,
        manifest: Manifest,
        data: PackedData,
        group: Group,
        total_steps: int,
        metrics: Metrics | None = None,
        report: Callable[[Event], None] = lambda event: None,
        make_method: MakeRoundMethod = SynchronousRounds,
        pace: Callable[[], None] = lambda: None,
    ) -> None:
        """`make_method` makes the way to train a round. `report` takes progress events. `pace` is called before each
        step."""
        self._config, self._manifest, self._data, self._group = config, manifest, data, group
        self._metrics, self._report = metrics, report
        torch.manual_seed(config.training.seed)
        self.model = GPT(config.model, manifest.vocab_size).to(group.device)
        self.optimizer = make_optimizer(self.model, config.training)
        self.tokens = 0
        self._method = make_method(config.training, total_steps, data, group, self.model, self.optimizer, pace)
        self._progress_sent_at = 0.0  # monotonic, in seconds

    def resume(self, weights: Path, state: Path, moments: Path | None) -> None:
        """Load a checkpoint. Without the optimiser's `moments`, it is only the weights that a new run starts from.

        Raises CheckpointError.
        """
        found = read_state(state)
        load_weights(weights, self.model)
        if moments is not None:
            load_optimizer(moments, self.model, self.optimizer)
            self.tokens = found.tokens

    def train_round(self, first_step: int, spans: Sequence[Span], evaluate: bool) -> StepsTrained:
        """Take one step for each span; afterwards all members have the same weights.

        Raises DivergedError, PeerLostError.
        """
        last = self._method.take_steps(first_step, spans, self._record)
        if last is not None:
            self._send_progress(last)  # a round shorter than _PROGRESS_SECONDS reports its speed too
        digest = self._method.synchronize_weights()
        val_loss, bits_per_byte = self._evaluate() if evaluate else (None, None)
        if self._metrics:
            self._metrics.record(first_step + len(spans), val_loss=val_loss, val_bits_per_byte=bits_per_byte)
            self._metrics.flush()
        return StepsTrained(
            state_hash=digest,
            tokens=self.tokens,
            loss=last.loss if last else None,
            val_loss=val_loss,
            val_bits_per_byte=bits_per_byte,
        )

    def save(self, folder: Path, run: str, step: int, tokens: int, val_loss: float | None) -> tuple[Path, str]:
        """Write a checkpoint under `folder`; its path and the hash of its weights. Raises OSError."""
        config = asdict(self._config)
        del config["ignored"]
        state = State(
            run=run,
            step=step,
            tokens=tokens,
            config=config,
            vocab_size=self._manifest.vocab_size,
            tokenizer=self._manifest.tokenizer,
            state_hash=state_hash(self.model),
            val_loss=val_loss,
        )
        return save_checkpoint(folder, self.model, self.optimizer, state), state.state_hash

    @torch.no_grad()
    def _evaluate(self) -> tuple[float | None, float | None]:
        """The held-out loss in nats a token and in bits a byte of UTF-8. Each member takes a part of the rows."""
        self.model.eval()
        num_rows = min(_MAX_HELD_OUT_ROWS, len(self._data.held_out))
        first = self._group.rank * num_rows // self._group.size
        stop = (self._group.rank + 1) * num_rows // self._group.size
        batch_size = max(1, self._config.training.batch_size // self._group.size)
        loss, num_targets = 0.0, 0
        for start in range(first, stop, batch_size):
            batch = self._data.held_out_batch(start, min(start + batch_size, stop))
            inputs, targets = (tensor.to(self._group.device) for tensor in batch)  # (B, T), (B, T)
            loss += float(self.model(inputs, targets))
            num_targets += int((targets != IGNORED).sum())
        loss_of_all, num_targets_of_all = self._group.sum([loss, num_targets])
        if not num_targets_of_all:
            return None, None
        val_loss = loss_of_all / num_targets_of_all
        # Bits a byte do not depend on the vocabulary, so models with different tokenizers can be compared.
        held_out = self._manifest.held_out
        return val_loss, val_loss / math.log(2) * held_out.tokens / max(1, held_out.utf8_bytes)

    def _record(self, report: StepReport) -> None:
        self.tokens += report.tokens
        if self._metrics:
            self._metrics.record(
                report.step,
                loss=report.loss,
                gradient_norm=report.gradient_norm,
                learning_rate=report.learning_rate,
                tokens_per_second=report.tokens_per_second,
            )
        if time.monotonic() - self._progress_sent_at >= _PROGRESS_SECONDS:
            self._send_progress(report)

    def _send_progress(self, report: StepReport) -> None:
        self._progress_sent_at = time.monotonic()
        self._report(
            StepsProgressed(
                step=report.step,
                loss=report.loss,
                tokens=self.tokens,
                compute_tokens_per_second=report.tokens_per_second,
                idle_fraction=report.idle_fraction,
            )
        )
