"""How fast this device computes, without the time in which it waits for other members."""

from __future__ import annotations

import time
from collections import deque

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from model.arithmetic.gpt import GPT
from model.device import synchronize

_STEPS = 32  # the figures cover so many of the last steps, so that they follow a device that slows down


class ComputeMeter:
    """Measures forward and backward passes. Use it as a context manager around both, then call `count`.

    DDP exchanges gradients during the backward pass. On the CPU this device's own part of that pass ends when the
    gradient of the embedding is there, since backward reaches the first layer last: the rest is waiting. On an
    accelerator waiting counts as computing. CUDA measures by events in its own stream, so nothing waits for it.
    """

    def __init__(self, model: GPT) -> None:
        self._device = model.embed_tokens.weight.device
        self._started = self._stopped = 0.0
        self._events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None  # of the last passes on CUDA
        self._unread: deque[tuple[torch.cuda.Event, torch.cuda.Event, int, float]] = deque(maxlen=_STEPS)
        self._steps: deque[tuple[int, float, float]] = deque(maxlen=_STEPS)  # tokens, compute seconds, wall seconds
        self._hook: RemovableHandle | None = None
        if self._device.type == "cpu":
            embedding = model.embed_tokens.weight
            self._hook = embedding.register_post_accumulate_grad_hook(self._stop)  # type: ignore[no-untyped-call]

    @property
    def tokens_per_second(self) -> float:
        """Targets a second of computing in the last steps; 0 before the first counted step."""
        tokens, compute_seconds, _ = self._sums()
        return tokens / compute_seconds if compute_seconds else 0.0

    @property
    def idle_fraction(self) -> float:
        """The part of the last steps' time in which this device did not compute, in [0, 1]."""
        _, compute_seconds, wall_seconds = self._sums()
        return max(0.0, 1 - compute_seconds / wall_seconds) if wall_seconds else 0.0

    def __enter__(self) -> None:
        if self._device.type == "cuda":
            self._events = _event(), _event()
            self._events[0].record()
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._events:
            self._events[1].record()
        elif self._device.type != "cpu":
            synchronize(self._device)
            self._stopped = time.perf_counter()

    def close(self) -> None:
        """Let go of the model."""
        if self._hook:
            self._hook.remove()

    def count(self, tokens: int, step_seconds: float, update_seconds: float = 0.0) -> None:
        """Add the last measured passes: they had `tokens` targets, and their whole step took `step_seconds`, of it the
        update of the weights `update_seconds`: that is computing too, and waits for nobody. On CUDA it is not seen."""
        if self._events:
            self._unread.append((*self._events, tokens, step_seconds))
        else:
            self._steps.append((tokens, self._stopped - self._started + update_seconds, step_seconds))

    def count_wait(self, seconds: float) -> None:
        """Add a time in which this device did not compute."""
        self._steps.append((0, 0.0, seconds))

    def _sums(self) -> tuple[int, float, float]:
        while self._unread and self._unread[0][1].query():  # type: ignore[no-untyped-call]
            start, stop, tokens, step_seconds = self._unread.popleft()
            self._steps.append((tokens, start.elapsed_time(stop) / 1e3, step_seconds))
        tokens, compute_seconds, wall_seconds = 0, 0.0, 0.0
        for step in self._steps:
            tokens, compute_seconds = tokens + step[0], compute_seconds + step[1]
            wall_seconds += step[2]
        return tokens, compute_seconds, wall_seconds

    def _stop(self, _: Tensor) -> None:
        self._stopped = time.perf_counter()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
