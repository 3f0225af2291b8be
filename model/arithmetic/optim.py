"""The optimiser and its learning-rate schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from model.config import TrainingConfig

_FINAL_FRACTION = 0.1  # the schedule ends at a tenth of the peak rate


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov & Hutter 2019). Weight decay applies to matrices, not to the norms' vectors."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), eps=1e-8, fused=True)


def learning_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """The rate of a step: linear warm-up, then cosine decay (Loshchilov & Hutter 2017).

    It depends on the step alone, so a resumed run needs no saved schedule. Warm-up takes at most a tenth of the run.
    """
    warmup_steps = min(config.warmup_steps, total_steps // 10)
    if step < warmup_steps:
        return config.lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.lr * (_FINAL_FRACTION + (1 - _FINAL_FRACTION) * cosine)
