"""Held-out losses: how members measure them together, and how a newcomer learns the last ones."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from model.arithmetic.gpt import GPT
from model.arithmetic.state import TrainingState
from model.data import PackedData
from model.line.held_out import MAX_HELD_OUT_ROWS
from model.meeting.group import Group
from tokenizer.sharding.manifest import ShardSet

Losses: TypeAlias = tuple[float | None, float | None]  # held-out, of the live and of the averaged weights


def held_out_losses(state: TrainingState, data: PackedData, group: Group, micro_batch: int) -> Losses:
    """Measure both losses, all members together. Raises PeerLostError."""
    live = held_out_loss(state.model, data, group, micro_batch)
    with state.average.in_place_of_live():
        return live, held_out_loss(state.model, data, group, micro_batch)


@torch.no_grad()
def held_out_loss(model: GPT, data: PackedData, group: Group, micro_batch: int) -> float | None:
    """The held-out loss in nats a token; None if nothing is held out. Each member takes a part of the rows.

    It computes `micro_batch` rows at a time. Raises PeerLostError.
    """
    model.eval()
    num_rows = min(MAX_HELD_OUT_ROWS, len(data.held_out))
    first = group.rank * num_rows // group.size
    stop = (group.rank + 1) * num_rows // group.size
    loss, num_targets = torch.zeros((), device=group.device), 0
    for start in range(first, stop, micro_batch):
        batch = data.held_out_batch(start, min(start + micro_batch, stop)).to(group.device)
        loss += model(batch.inputs, batch.targets)
        num_targets += batch.num_targets
    loss_of_all, num_targets_of_all = group.sum([float(loss), num_targets])
    return loss_of_all / num_targets_of_all if num_targets_of_all else None


def bits_per_byte(loss: float | None, held_out: ShardSet) -> float | None:
    """A held-out loss in bits a byte of UTF-8, by which models with different tokenizers can be compared."""
    return None if loss is None else loss / math.log(2) * held_out.tokens / max(1, held_out.utf8_bytes)


def to_figures(tokens: int, losses: Losses) -> Tensor:
    """Trained tokens and the last losses as a finite tensor (5,): before each loss stands whether there is one."""
    figures = [float(tokens)]
    for loss in losses:
        figures += [0.0, 0.0] if loss is None or not math.isfinite(loss) else [1.0, loss]
    return torch.tensor(figures, dtype=torch.float64)


def from_figures(figures: Tensor) -> tuple[int, Losses]:
    """The tokens and losses of `to_figures`."""
    tokens, has_live, live, has_average, average = figures.tolist()
    return int(tokens), (live if has_live else None, average if has_average else None)
