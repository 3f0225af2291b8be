"""Numbers in eight bits: blocks of 256 values, each with the scale of its greatest one (Dettmers et al. 2022, "8-bit
Optimizers via Block-wise Quantization").

A block takes 256 bytes and two for its scale. The error of a value is at most half a 127th of the greatest value of its
block. Decoding is one exact conversion and one multiplication, so all processors decode to the same bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256
_LARGEST = 127
_SCALE_BYTES = 2


def encoded_bytes(count: int) -> int:
    """The length of so many encoded values."""
    blocks = _num_blocks(count)
    return blocks * (_SCALE_BYTES + BLOCK)


def encode(values: Tensor) -> Tensor:
    """Values (N,), float32 and finite, as bytes (encoded_bytes(N),), uint8."""
    blocks = _num_blocks(len(values))
    padded = torch.zeros(blocks * BLOCK, dtype=torch.float32)
    padded[: len(values)] = values
    padded = padded.view(blocks, BLOCK)
    scales = (padded.abs().amax(dim=1) / _LARGEST).to(torch.bfloat16)  # (blocks,)
    divisors = torch.where(scales == 0, 1.0, scales.float()).unsqueeze(1)
    # bfloat16 may round a scale down: then the greatest value would exceed the range.
    numbers = (padded / divisors).round_().clamp_(-_LARGEST, _LARGEST).to(torch.int8)
    return torch.cat((scales.view(torch.uint8), numbers.view(-1).view(torch.uint8)))


def decode(data: Tensor, count: int) -> Tensor:
    """The first `count` values (count,), float32, of encoded bytes. Raises ValueError for another length."""
    if len(data) != encoded_bytes(count):
        raise ValueError(f"{len(data)} bytes for {count} values")
    blocks = _num_blocks(count)
    scales = data[: blocks * _SCALE_BYTES].clone().view(torch.bfloat16).float().unsqueeze(1)
    numbers = data[blocks * _SCALE_BYTES :].view(torch.int8).view(blocks, BLOCK)
    return (numbers.float() * scales).view(-1)[:count]


def _num_blocks(count: int) -> int:
    return -(-count // BLOCK)
