"""The speed meter: it follows the last steps, and separates computing from waiting."""

import time

import pytest
import torch

from model.arithmetic.gpt import GPT
from model.config import ModelConfig
from model.rounds.speed import ComputeMeter


def passes(meter: ComputeMeter, model: GPT, tokens: int, step_seconds: float, work_seconds: float = 0.0) -> None:
    rows = torch.zeros(1, 4, dtype=torch.long)
    with meter:
        loss = model(rows, rows)
        time.sleep(work_seconds)
        loss.backward()
    meter.count(tokens, step_seconds)


def test_the_figures_are_those_of_the_last_steps() -> None:
    model = GPT(ModelConfig(d_model=16, nhead=2, num_layers=1), 20)
    meter = ComputeMeter(model)
    assert (meter.tokens_per_second, meter.idle_fraction) == (0, 0)
    for _ in range(40):
        passes(meter, model, tokens=10_000, step_seconds=1.0)
    fast = meter.tokens_per_second
    for _ in range(32):
        passes(meter, model, tokens=10, step_seconds=1.0, work_seconds=0.001)
    assert meter.tokens_per_second == pytest.approx(10 / 0.001, rel=0.9)
    assert meter.tokens_per_second < fast / 10


def test_waiting_is_not_computing() -> None:
    model = GPT(ModelConfig(d_model=16, nhead=2, num_layers=1), 20)
    meter = ComputeMeter(model)
    passes(meter, model, tokens=10, step_seconds=1000.0)
    assert 0.9 < meter.idle_fraction < 1
