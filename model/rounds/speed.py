"""How fast this device computes, without the time in which it waits for other members."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from model.arithmetic.gpt import GPT


class ComputeMeter:
    """Measures forward and backward passes. Use it as a context manager around both, then call `count`.

    DDP exchanges gradients during the backward pass. On the CPU this device's own part of that pass ends when the
    gradient of the embedding is there, since backward reaches the first layer last: the rest is waiting. On CUDA the
    pass ends with a synchronisation, so waiting counts as computing there.
    """

    def __init__(self, model: GPT) -> None:
        self._started = self._stopped = 0.0
        self._pass_seconds = self._compute_seconds = self._wall_seconds = 0.0
        self._tokens = 0
        self._on_cuda = next(model.parameters()).is_cuda
        model.embed_tokens.weight.register_post_accumulate_grad_hook(self._stop)  # type: ignore[no-untyped-call]

    @property
    def tokens_per_second(self) -> float:
        """Targets a second of computing; 0 before the first counted step."""
        return self._tokens / self._compute_seconds if self._compute_seconds else 0.0

    @property
    def idle_fraction(self) -> float:
        """The part of the counted time in which this device did not compute, in [0, 1]."""
        return max(0.0, 1 - self._compute_seconds / self._wall_seconds) if self._wall_seconds else 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._on_cuda:
            torch.cuda.synchronize()
            self._stopped = time.perf_counter()
        self._pass_seconds = self._stopped - self._started

    def count(self, tokens: int, step_seconds: float) -> None:
        """Add the last measured passes: they had `tokens` targets, and their whole step took `step_seconds`."""
        self._tokens += tokens
        self._compute_seconds += self._pass_seconds
        self._wall_seconds += step_seconds

    def _stop(self, _: Tensor) -> None:
        self._stopped = time.perf_counter()
