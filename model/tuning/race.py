"""Measures how this device computes a model's steps fastest. It takes some seconds.

Nothing is looked up in a list of processors: bfloat16 loses where it is emulated, and more threads than free cores make
a step several times slower.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from model.arithmetic.gpt import GPT
from model.tuning.choice import Tuning

_WORTH_BFLOAT16 = 1.15  # it must win by this much, since it costs precision
_WORTH_MORE_ROWS = 1.03  # so must more rows at a time, since they cost memory
_MAX_TOKENS_AT_ONCE = 4096  # more rows are no faster, and their activations need gigabytes
_FIRST_TOKENS_AT_ONCE = 1024
_TRIES = 2  # after one that allocates memory


def race(model: GPT, seq_len: int, own_rows: int, max_threads: int) -> Tuning:
    """The fastest tuning for `model` on a CPU, with rows of `seq_len` tokens; this device has `own_rows` a step.

    The model's weights stay as they are; its gradients and its `compute_dtype` do not.
    """
    rows = max(1, min(own_rows, _FIRST_TOKENS_AT_ONCE // seq_len))
    best = plain = _Lane(model, seq_len, Tuning(is_bfloat16=False, threads=max_threads, micro_batch=rows))
    if _multiplies_bfloat16_fast(max_threads):
        low = _Lane(model, seq_len, replace(plain.tuning, is_bfloat16=True))
        best = low if low.speed > best.speed * _WORTH_BFLOAT16 else best
    for threads in _fewer_threads(max_threads):
        other = _Lane(model, seq_len, replace(best.tuning, threads=threads))
        best = other if other.speed > best.speed else best
    for more in _more_rows(rows, min(own_rows, _MAX_TOKENS_AT_ONCE // seq_len)):
        other = _Lane(model, seq_len, replace(best.tuning, micro_batch=more))
        best = other if other.speed > best.speed * _WORTH_MORE_ROWS else best
    model.zero_grad(set_to_none=True)
    return replace(best.tuning, gain=best.speed / plain.speed, tokens_per_second=best.speed)


class _Lane:
    """One tuning and its measured speed in tokens a second."""

    def __init__(self, model: GPT, seq_len: int, tuning: Tuning) -> None:
        self.tuning = tuning
        torch.set_num_threads(tuning.threads)
        model.compute_dtype = tuning.torch_dtype
        tokens = torch.arange(tuning.micro_batch * (seq_len + 1)).view(tuning.micro_batch, -1) % model.vocab_size
        seconds = []
        for _ in range(1 + _TRIES):
            started = time.perf_counter()
            model(tokens[:, :-1], tokens[:, 1:]).backward()
            seconds.append(time.perf_counter() - started)
        self.speed = tuning.micro_batch * seq_len / min(seconds[1:])


def _multiplies_bfloat16_fast(threads: int) -> bool:
    """Whether bfloat16 matrix products beat float32 here: a race of milliseconds that spares a step of many seconds."""
    torch.set_num_threads(threads)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.ones(512, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
        tries = []
        for _ in range(4):
            started = time.perf_counter()
            torch.mm(a, b)
            tries.append(time.perf_counter() - started)
        seconds[dtype] = min(tries)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def _fewer_threads(most: int) -> Iterator[int]:
    """Numbers of threads worth a try beside `most`."""
    yield from sorted({1, most // 2, most - 1} - {0, most}, reverse=True)


def _more_rows(first: int, most: int) -> Iterator[int]:
    """Twice as many rows, and so on; the last one is `most`."""
    rows = first
    while rows < most:
        rows = min(2 * rows, most)
        yield rows
