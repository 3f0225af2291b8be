"""The weighted mean over all members of a vector, with few bytes on the wire and the same bits everywhere.

A reduce-scatter and an all-gather, both of encoded values: each rank owns a part of the vector, receives that part from
every other rank, averages, and sends the mean to all. With k ranks each sends and receives 2 (k - 1) / k vectors.
Everybody, the owner too, goes on with what the owner's bytes decode to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.meeting.group import Group
from model.rounds import blockwise, logarithmic


@dataclass(frozen=True, slots=True)
class Coding:
    """How a vector travels: its encoded length, both ways."""

    encoded_bytes: Callable[[int], int]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, int], Tensor]


INT8 = Coding(blockwise.encoded_bytes, blockwise.encode, blockwise.decode)
LOGARITHMIC = Coding(logarithmic.encoded_bytes, logarithmic.encode, logarithmic.decode)  # values that are not negative
FLOAT32 = Coding(
    lambda count: 4 * count,
    lambda values: values.contiguous().view(torch.uint8),
    lambda data, count: data.clone().view(torch.float32),
)


def weighted_mean(group: Group, own: Tensor, weights: Sequence[float], coding: Coding) -> Tensor:
    """The mean (N,) of the vectors of all members, by their weights; `own` (N,) is float32 on the CPU, and finite.

    Every rank calls it with a vector of one length and the same weights, one for each rank and at least 0. Zeros if all
    weights are 0. Raises PeerLostError.
    """
    total = sum(weights)
    if total <= 0:
        return torch.zeros_like(own)
    parts = list(_parts(len(own), group.size))
    mine, others = parts[group.rank], [rank for rank in range(group.size) if rank != group.rank]
    # 1. Every rank sends each other one that one's part, and averages its own part.
    encoded = {rank: coding.encode(own[parts[rank].start : parts[rank].stop]) for rank in others}
    received = _swap(group, encoded, dict.fromkeys(others, coding.encoded_bytes(len(mine))))
    mean = torch.zeros(len(mine))
    for rank, weight_there in enumerate(weights):
        is_own = rank == group.rank
        values = own[mine.start : mine.stop] if is_own else coding.decode(received[rank], len(mine))
        mean += values * (weight_there / total)
    # 2. Every rank sends its mean to all.
    own_mean = coding.encode(mean)
    lengths = {rank: coding.encoded_bytes(len(parts[rank])) for rank in others}
    means = _swap(group, dict.fromkeys(others, own_mean), lengths) | {group.rank: own_mean}
    return torch.cat([coding.decode(means[rank], len(part)) for rank, part in enumerate(parts)])


def _swap(group: Group, data: Mapping[int, Tensor], lengths: Mapping[int, int]) -> dict[int, Tensor]:
    """Send bytes to each other rank, and return the bytes of these lengths that each has sent here."""
    nothing = torch.empty(0, dtype=torch.uint8)
    ranks = range(group.size)
    return dict(enumerate(group.swap([data.get(rank, nothing) for rank in ranks], [lengths.get(r, 0) for r in ranks])))


def _parts(size: int, count: int) -> Iterator[range]:
    """Equal parts of a vector, which begin at blocks."""
    blocks = -(-size // blockwise.BLOCK)
    for number in range(count):
        first, last = (blocks * place // count * blockwise.BLOCK for place in (number, number + 1))
        yield range(min(first, size), min(last, size))
