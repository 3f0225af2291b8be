"""How fast this device trains, measured over some seconds: a laptop that becomes hot is slower than at first."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from model.arithmetic.gpt import GPT
from model.arithmetic.state import TrainingState, new_state
from model.config import Config
from model.device import choose_devices, synchronize
from model.line.probing import MeasureSpeed
from model.pace import check_memory
from model.tuning.tune import Tuner

_UPDATES = 2  # after one that allocates memory


def sustained_speed(config: Config, call: MeasureSpeed) -> float:
    """Tokens a second of training with this configuration, as the call asks.

    Forward and backward passes run for about `call.seconds`, of which the second half counts; the update at the end of
    a step is measured for itself. Raises MemoryLimitError.
    """
    seconds, vocab_size = call.seconds, call.vocab_size
    devices = choose_devices(0, call.size, call.members_here)
    step_members = call.size if call.is_divided else 1
    tuning = Tuner(
        config,
        vocab_size,
        devices,
        Path(call.tuning),
        num_members=step_members,
        members_here=call.members_here,
    ).tune()
    model = GPT(config.model, vocab_size).to(devices[0])
    model.compute_dtype = tuning.torch_dtype
    state = new_state(model, config.training, tuning.torch_dtype)
    seq_len = config.training.dataset.seq_len
    rows = tuning.micro_batch
    check_memory(call.memory_bytes)
    _speed_of_passes(model, rows, seq_len, seconds / 2)  # memory is allocated, and the device becomes warm
    rate = _speed_of_passes(model, rows, seq_len, seconds / 2) * tuning.num_devices
    check_memory(call.memory_bytes)
    step_tokens = config.training.batch_size * seq_len
    update_seconds = _seconds_of_update(state)
    check_memory(call.memory_bytes)
    return step_tokens / (step_tokens / rate + update_seconds)


def _speed_of_passes(model: GPT, rows: int, seq_len: int, seconds: float) -> float:
    """Tokens a second of forward and backward passes, at least one, that take about so many seconds."""
    device = model.embed_tokens.weight.device
    tokens = torch.arange(rows * (seq_len + 1), device=device).view(rows, -1) % model.vocab_size  # (B, T + 1)
    started, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - started < seconds:
        model(tokens[:, :-1], tokens[:, 1:]).backward()
        synchronize(device)
        count += 1
    return count * rows * seq_len / (time.perf_counter() - started)


def _seconds_of_update(state: TrainingState) -> float:
    """Of what follows the passes of a step: clipping, the optimiser, the averaged weights."""
    device, found = state.model.embed_tokens.weight.device, []
    for step in range(1 + _UPDATES):
        for parameter in state.model.parameters():
            parameter.grad = torch.full_like(parameter, 1e-3)
        synchronize(device)
        started = time.perf_counter()
        nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
        state.optimizer.step(1e-6)
        state.average.update(step)
        synchronize(device)
        found.append(time.perf_counter() - started)
    return min(found[1:])
