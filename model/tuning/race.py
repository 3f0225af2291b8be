"""Measures how this device computes a model's steps fastest. It takes some seconds.

Nothing is looked up in a list of processors: bfloat16 loses where it is emulated, more threads than free cores make a
step several times slower, and an accelerator runs out of memory at its own number of rows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from model.arithmetic.gpt import GPT
from model.device import can_compile, has_bfloat16, synchronize
from model.tuning.choice import Tuning
from model.tuning.work import Work

_log = logging.getLogger(__name__)
_WORTH_BFLOAT16 = 1.15  # it must win by this much, since it costs precision
_WORTH_MORE_ROWS = 1.03  # so must more rows at a time, since they cost memory
_WORTH_COMPILING = 1.1
_FIRST_TOKENS_AT_ONCE = 1024
_MAX_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65_536, "mps": 16_384}  # more are no faster, and need gigabytes
_TRIES = 2  # after one that allocates memory


def race(model: GPT, work: Work, max_threads: int) -> Tuning:
    """The fastest tuning for `model` on its device.

    The model's weights stay as they are; its gradients and its `compute_dtype` do not.
    """
    device = model.embed_tokens.weight.device
    rows = max(1, min(work.own_rows, _FIRST_TOKENS_AT_ONCE // work.seq_len))
    best = plain = _Lane(model, work, Tuning(is_bfloat16=False, threads=max_threads, micro_batch=rows))
    if _multiplies_bfloat16_fast(max_threads) if device.type == "cpu" else has_bfloat16(device):
        low = _Lane(model, work, replace(plain.tuning, is_bfloat16=True))
        best = low if low.speed > best.speed * _WORTH_BFLOAT16 else best
    for threads in _fewer_threads(max_threads) if device.type == "cpu" else ():
        other = _Lane(model, work, replace(best.tuning, threads=threads))
        best = other if other.speed > best.speed else best
    for more in _more_rows(rows, min(work.own_rows, _MAX_TOKENS_AT_ONCE[device.type] // work.seq_len)):
        other = _Lane(model, work, replace(best.tuning, micro_batch=more))
        best = other if other.speed > best.speed * _WORTH_MORE_ROWS else best
    if work.is_long and can_compile(device):
        other = _Lane(model, work, replace(best.tuning, is_compiled=True))
        best = other if other.speed > best.speed * _WORTH_COMPILING else best
    model.zero_grad(set_to_none=True)
    return replace(best.tuning, gain=best.speed / (plain.speed or 1.0), tokens_per_second=best.speed)


class _Lane:
    """One tuning and its measured speed in tokens a second; 0 where it fails."""

    def __init__(self, model: GPT, work: Work, tuning: Tuning) -> None:
        self.tuning = tuning
        self.speed = 0.0
        torch.set_num_threads(tuning.threads)
        model.compute_dtype = tuning.torch_dtype
        try:
            if tuning.is_compiled:
                model.compile_layers()
            self.speed = tuning.micro_batch * work.seq_len / _seconds_of_passes(model, tuning.micro_batch, work.seq_len)
        except Exception as error:
            # Compilers and accelerators raise errors of their own kinds; without a working plain lane the run fails.
            if model.embed_tokens.weight.device.type == "cpu":
                raise
            _log.info("%s does not work here: %s", tuning.describe(), error)


def _seconds_of_passes(model: GPT, rows: int, seq_len: int) -> float:
    """Of the fastest forward and backward pass."""
    device = model.embed_tokens.weight.device
    tokens = torch.arange(rows * (seq_len + 1), device=device).view(rows, -1) % model.vocab_size
    seconds = []
    for _ in range(1 + _TRIES):
        started = time.perf_counter()
        model(tokens[:, :-1], tokens[:, 1:]).backward()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


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
