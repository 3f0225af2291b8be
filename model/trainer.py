"""Training, round by round, as the leader says. Knows steps and tensors; knows no peers, blobs or addresses.

One ddp step of k members equals one step of a single device on all their samples: each member sums the losses of its
own tokens, divides by the number of tokens that *all* have (summed first); the factor k undoes DDP's averaging.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from model.checkpoint import State, load_optimizer, load_weights, read_state, save_checkpoint, state_hash
from model.config import Config
from model.data import PackedData
from model.errors import DivergedError
from model.gpt import GPT, IGNORED
from model.groups import Group
from model.line.declare import Event
from model.line.training import Span, StepsProgressed, StepsTrained
from model.metrics import Metrics
from model.optim import learning_rate, make_optimizer
from tokenizer.shards import Manifest

_log = logging.getLogger(__name__)
_CLIP = 1.0
_PROGRESS_SECONDS = 0.5
_HELD_OUT_ROWS = 64  # at most, an evaluation: the same ones each time
_WARM_STEPS = 1  # the first step of a process allocates: not counted as speed


class Trainer:
    """One member's training process."""

    def __init__(
        self,
        config: Config,
        manifest: Manifest,
        data: PackedData,
        group: Group,
        total_steps: int,
        metrics: Metrics | None = None,
        report: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._config, self._manifest, self._data, self._group = config, manifest, data, group
        self._total_steps, self._metrics, self._report_event = total_steps, metrics, report
        torch.manual_seed(config.training.seed)
        self.model = GPT(config.model, manifest.vocab_size).to(group.device)
        self.optimizer = make_optimizer(self.model, config.training)
        self._wrapped: nn.Module | None = None
        self.tokens = 0
        self._steps_done = 0
        self._compute = _Compute(self.model)
        self._told_at = 0.0

    def resume(self, weights: Path, state: Path, moments: Path | None) -> State:
        """Go on from a checkpoint; without the optimiser's moments, only from its weights. Raises CheckpointError."""
        found = read_state(state)
        load_weights(weights, self.model)
        if moments is not None:
            load_optimizer(moments, self.model, self.optimizer)
            self.tokens = found.tokens
        return found

    def train_round(self, first_step: int, spans: Sequence[Span], evaluate: bool) -> StepsTrained:
        """One step for each span, then the same weights everywhere. Raises PeerLostError, DivergedError."""
        if self._wrapped is None:
            self._wrapped = self._group.wrap(self.model)
        loss = None
        for number, span in enumerate(spans):
            loss = self._step(first_step + number, span)
        if loss is not None:
            self._tell_progress(first_step + len(spans), loss)  # so that also a short run says how fast it was
        digest = self._settle()
        val_loss, bits = self._evaluate() if evaluate else (None, None)
        if self._metrics:
            self._metrics.record(first_step + len(spans), val_loss=val_loss, val_bits_per_byte=bits)
            self._metrics.flush()
        return StepsTrained(state_hash=digest, tokens=self.tokens, loss=loss, val_loss=val_loss, val_bits_per_byte=bits)

    def save(self, folder: Path, run: str, step: int, tokens: int, val_loss: float | None) -> tuple[Path, str]:
        """The checkpoint's folder and state hash. Raises OSError."""
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

    def _step(self, step: int, span: Span) -> float:
        """The mean loss in nats a token, over all members."""
        assert self._wrapped is not None
        started = time.perf_counter()
        inputs, targets = (t.to(self._group.device) for t in self._data.batch(span.epoch, span.start, span.stop))
        tokens_here = int((targets != IGNORED).sum())
        tokens_all = max(1.0, self._group.sum([tokens_here])[0])
        rate = learning_rate(self._config.training, step, self._total_steps)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.model.train()
        torch.manual_seed(_dropout_seed(self._config.training.seed, step, self._group.rank))
        with self._compute.measured():
            loss_here: Tensor = self._wrapped(inputs, targets)
            with self._group.communicating():  # DDP exchanges gradients inside the backward pass
                (loss_here * (self._group.size / tokens_all)).backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._group.sum([loss_here.item()])[0] / tokens_all
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss} at step {step}", f"lower training.lr ({self._config.training.lr})"
            )
        self.tokens += int(tokens_all)
        self._steps_done += 1
        self._compute.count(tokens_here, time.perf_counter() - started, self._steps_done > _WARM_STEPS)
        self._report(step + 1, loss, float(norm), rate)
        return loss

    def _settle(self) -> str:
        """The same arithmetic on unlike processors may differ in a last bit: then rank 0's state is everybody's."""
        digest = state_hash(self.model)
        if self._group.agree(bytes.fromhex(digest)):
            return digest
        _log.warning("weights drifted apart in the last bits; taking rank 0's")
        moments = [t for state in self.optimizer.state.values() for t in state.values() if t.dim() > 0]
        with torch.no_grad():
            self._group.broadcast([*self.model.state_dict().values(), *moments])
        return state_hash(self.model)

    @torch.no_grad()
    def _evaluate(self) -> tuple[float | None, float | None]:
        """Held-out loss in nats a token and in bits a byte of UTF-8, each row on one of the members."""
        self.model.eval()
        rows = min(_HELD_OUT_ROWS, len(self._data.held_out))
        size = max(1, self._config.training.batch_size // self._group.size)
        mine = range(self._group.rank * rows // self._group.size, (self._group.rank + 1) * rows // self._group.size)
        loss, tokens = 0.0, 0
        for start in range(mine.start, mine.stop, size):
            batch = self._data.held_out_batch(start, min(start + size, mine.stop))
            inputs, targets = (t.to(self._group.device) for t in batch)
            loss += float(self.model(inputs, targets))
            tokens += int((targets != IGNORED).sum())
        loss_all, tokens_all = self._group.sum([loss, tokens])
        if not tokens_all:
            return None, None
        side = self._manifest.held_out
        bits_a_token = loss_all / tokens_all / math.log(2)
        return loss_all / tokens_all, bits_a_token * side.tokens / max(1, side.utf8_bytes)

    def _report(self, step: int, loss: float, norm: float, rate: float) -> None:
        if self._metrics:
            speed = self._compute.tokens_per_second
            self._metrics.record(step, loss=loss, gradient_norm=norm, learning_rate=rate, tokens_per_second=speed)
        if time.monotonic() - self._told_at >= _PROGRESS_SECONDS:
            self._tell_progress(step, loss)

    def _tell_progress(self, step: int, loss: float) -> None:
        self._told_at = time.monotonic()
        self._report_event(
            StepsProgressed(
                step=step,
                loss=loss,
                tokens=self.tokens,
                compute_tokens_per_second=self._compute.tokens_per_second,
                idle_fraction=self._compute.idle_fraction,
            )
        )


class _Compute:
    """How fast this device is by itself: the time in which it computes, without that in which it waits for others.

    Forward is all arithmetic. Backward ends, for this device, when the gradient of the embedding (the first layer, so
    the last one reached) is there; what DDP takes after that is waiting.
    """

    def __init__(self, model: GPT) -> None:
        self._mark = 0.0
        self._seconds = self._last_seconds = self._wall_seconds = 0.0
        self._tokens = 0
        self._on_cuda = next(model.parameters()).is_cuda
        model.embed_tokens.weight.register_post_accumulate_grad_hook(self._reached_the_end)  # type: ignore[no-untyped-call]

    @property
    def tokens_per_second(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0

    @property
    def idle_fraction(self) -> float:
        return max(0.0, 1 - self._seconds / self._wall_seconds) if self._wall_seconds else 0.0

    def measured(self) -> _Compute:
        return self

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._on_cuda:
            torch.cuda.synchronize()
            self._mark = time.perf_counter()
        self._last_seconds = self._mark - self._started

    def count(self, tokens: int, wall_seconds: float, is_warm: bool) -> None:
        if is_warm:
            self._tokens += tokens
            self._seconds += self._last_seconds
            self._wall_seconds += wall_seconds

    def _reached_the_end(self, _: Tensor) -> None:
        self._mark = time.perf_counter()


def choose_device(wish: str | None, rank: int) -> torch.device:
    """CUDA where there is one, unless CELLMIND_DEVICE says otherwise."""
    if wish:
        return torch.device(wish)
    if torch.cuda.is_available():
        return torch.device("cuda", rank % torch.cuda.device_count())
    return torch.device("cpu")


def choose_threads(members_on_this_host: int) -> int:
    """The cores that this process may use, shared with the members here: more threads than cores is catastrophic.
    OMP_NUM_THREADS of the agent's environment, where people limit such things, is a limit here too."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        usable = min(usable, int(limit))
    return max(1, usable // max(1, members_on_this_host))


def _dropout_seed(seed: int, step: int, rank: int) -> int:
    return (seed * 1_000_003 + step) * 4096 + rank
