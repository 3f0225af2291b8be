"""Numbers in eight or four bits: blocks of values, each with the scale of its greatest one (Dettmers et al. 2022,
"8-bit Optimizers via Block-wise Quantization").

A block takes the bytes of its values and two for its scale. The error of a value is at most half a step, of which the
greatest value of its block has 127, or 7 in four bits. Decoding is one exact conversion and one multiplication, so all
processors decode to the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SCALE_BYTES = 2
_NIBBLE_ZERO = 8  # four bits are written as 1 to 15


@dataclass(frozen=True, slots=True)
class Blockwise:
    """A coding of float32 values: `steps` from zero to the greatest value of a block."""

    block: int  # values, an even number
    steps: int
    values_per_byte: int

    def encoded_bytes(self, count: int) -> int:
        """The length of so many encoded values."""
        return self._num_blocks(count) * (_SCALE_BYTES + self.block // self.values_per_byte)

    def encode(self, values: Tensor) -> Tensor:
        """Values (N,), float32 and finite, as bytes (encoded_bytes(N),), uint8."""
        blocks = self._num_blocks(len(values))
        padded = torch.zeros(blocks * self.block, dtype=torch.float32)
        padded[: len(values)] = values
        padded = padded.view(blocks, self.block)
        scales = (padded.abs().amax(dim=1) / self.steps).to(torch.bfloat16)  # (blocks,)
        divisors = torch.where(scales == 0, 1.0, scales.float()).unsqueeze(1)
        # bfloat16 may round a scale down: then the greatest value would exceed the range.
        numbers = (padded / divisors).round_().clamp_(-self.steps, self.steps).to(torch.int8).view(-1)
        if self.values_per_byte == 2:
            high, low = (numbers + _NIBBLE_ZERO).view(torch.uint8).view(-1, 2).unbind(dim=1)
            return torch.cat((scales.view(torch.uint8), high * 16 + low))
        return torch.cat((scales.view(torch.uint8), numbers.view(torch.uint8)))

    def decode(self, data: Tensor, count: int) -> Tensor:
        """The first `count` values (count,), float32, of encoded bytes. Raises ValueError for another length."""
        if len(data) != self.encoded_bytes(count):
            raise ValueError(f"{len(data)} bytes for {count} values")
        blocks = self._num_blocks(count)
        scales = data[: blocks * _SCALE_BYTES].clone().view(torch.bfloat16).float().unsqueeze(1)
        numbers = data[blocks * _SCALE_BYTES :]
        if self.values_per_byte == 2:
            signed = torch.stack((numbers // 16, numbers % 16), dim=1).view(torch.int8) - _NIBBLE_ZERO
        else:
            signed = numbers.view(torch.int8)
        return (signed.view(blocks, self.block).float() * scales).view(-1)[:count]

    def _num_blocks(self, count: int) -> int:
        return -(-count // self.block)


EIGHT_BITS = Blockwise(block=256, steps=127, values_per_byte=1)
FOUR_BITS = Blockwise(block=64, steps=7, values_per_byte=2)
