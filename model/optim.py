"""The optimiser and its schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from model.config import TrainingConfig

_FLOOR = 0.1  # the cosine ends at a tenth of the peak


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019), fused; matrices decay, norms do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.95), eps=1e-8, fused=True)


def learning_rate(config: TrainingConfig, step: int, total_steps: int) -> float:
    """Linear warm-up, then a cosine: a function of the step alone, so a resumed run needs nothing else."""
    warmup = min(config.warmup_steps, total_steps // 10)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, total_steps - warmup)
    return config.lr * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
