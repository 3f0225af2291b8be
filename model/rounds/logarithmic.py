"""Numbers of very different sizes, none below zero, in eight bits: blocks of 256, each with its greatest value in full.

A value is its block's greatest one times a power of 2 ** (-1/8), down to 2 ** -31.75, or zero. So the error of a value
is at most a twentieth of it, however small it is beside the others: linear steps (`blockwise`) would make many second
moments of an optimiser zero, and it divides by their roots.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256
_SCALE_BYTES = 4
_STEPS_PER_OCTAVE = 8
_EIGHTH_OCTAVE = 0.9170040432046712  # 2 ** (-1/8)


def _table() -> Tensor:
    """What each byte stands for: nothing but multiplications, so that all processors have the same bits."""
    values = [1.0]
    for _ in range(254):
        values.append(values[-1] * _EIGHTH_OCTAVE)
    return torch.tensor([0.0, *reversed(values)], dtype=torch.float64).float()  # (256,)


_VALUES = _table()


class Logarithmic:
    """A coding of float32 values that are not negative."""

    def encoded_bytes(self, count: int) -> int:
        """The length of so many encoded values."""
        return _num_blocks(count) * (_SCALE_BYTES + BLOCK)

    def encode(self, values: Tensor) -> Tensor:
        """Values (N,), float32, not negative and finite, as bytes (encoded_bytes(N),), uint8."""
        blocks = _num_blocks(len(values))
        padded = torch.zeros(blocks * BLOCK, dtype=torch.float32)
        padded[: len(values)] = values
        padded = padded.view(blocks, BLOCK)
        scales = padded.amax(dim=1)  # (blocks,)
        shares = padded / torch.where(scales == 0, 1.0, scales).unsqueeze(1)
        steps = (torch.log2(shares) * _STEPS_PER_OCTAVE).round_() + 255  # zero is minus infinity
        codes = torch.where(shares == 0, 0.0, steps.clamp_(1, 255)).to(torch.uint8)
        return torch.cat((scales.view(torch.uint8), codes.view(-1)))

    def decode(self, data: Tensor, count: int) -> Tensor:
        """The first `count` values (count,), float32, of encoded bytes. Raises ValueError for another length."""
        if len(data) != self.encoded_bytes(count):
            raise ValueError(f"{len(data)} bytes for {count} values")
        blocks = _num_blocks(count)
        scales = data[: blocks * _SCALE_BYTES].clone().view(torch.float32).unsqueeze(1)
        codes = data[blocks * _SCALE_BYTES :].view(blocks, BLOCK)
        return (_VALUES[codes.int()] * scales).view(-1)[:count]


def _num_blocks(count: int) -> int:
    return -(-count // BLOCK)
