"""The weighted mean over all members of a vector, with few bytes on the wire and the same bits everywhere.

A reduce-scatter and an all-gather, both of encoded values: each rank owns a part of the vector, receives that part from
every other rank, averages, and sends the mean to all. With k ranks each sends and receives 2 (k - 1) / k vectors.
Everybody, the owner too, goes on with what the owner's bytes decode to.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed import Work

from model.meeting.group import Group
from model.rounds import blockwise

_PIECE_BYTES = 1 << 18  # a slow link carries a piece within the patience of the process group
_WEIGHT = struct.Struct("<d")


@dataclass(frozen=True, slots=True)
class Coding:
    """How a vector travels: its encoded length, both ways."""

    encoded_bytes: Callable[[int], int]
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor, int], Tensor]


INT8 = Coding(blockwise.encoded_bytes, blockwise.encode, blockwise.decode)
FLOAT32 = Coding(
    lambda count: 4 * count,
    lambda values: values.contiguous().view(torch.uint8),
    lambda data, count: data.clone().view(torch.float32),
)


def weighted_mean(group: Group, own: Tensor, weight: float, coding: Coding) -> Tensor:
    """The mean (N,) of the vectors of all members, by their weights; `own` (N,) is float32 on the CPU, and finite.

    Every rank calls it with a vector of one length, and a weight of at least 0; zeros without any weight. Raises
    PeerLostError.
    """
    weights = [_WEIGHT.unpack(data)[0] for data in group.gather(_WEIGHT.pack(weight))]
    total = sum(weights)
    if total <= 0:
        return torch.zeros_like(own)
    parts = list(_parts(len(own), group.size))
    others = [rank for rank in range(group.size) if rank != group.rank]
    exchange = _Exchange(group)
    # 1. Every rank sends each other one that one's part, and averages its own part.
    mine = parts[group.rank]
    received = {rank: exchange.receive(coding.encoded_bytes(len(mine)), rank) for rank in others}
    for rank in others:
        exchange.send(coding.encode(own[parts[rank].start : parts[rank].stop]), rank)
    mean = torch.zeros(len(mine))
    for rank in range(group.size):
        values = own[mine.start : mine.stop]
        if rank != group.rank:
            values = coding.decode(exchange.finish(received[rank]), len(mine))
        mean += values * (weights[rank] / total)
    # 2. Every rank sends its mean to all.
    encoded = coding.encode(mean)
    coming = {rank: exchange.receive(coding.encoded_bytes(len(parts[rank])), rank) for rank in others}
    for rank in others:
        exchange.send(encoded, rank)
    found = torch.empty_like(own)
    for rank, part in enumerate(parts):
        data = encoded if rank == group.rank else exchange.finish(coming[rank])
        found[part.start : part.stop] = coding.decode(data, len(part))
    exchange.finish_sending()
    return found


def _parts(size: int, count: int) -> Iterator[range]:
    """Equal parts of a vector, which begin at blocks."""
    blocks = -(-size // blockwise.BLOCK)
    for number in range(count):
        first, last = (blocks * place // count * blockwise.BLOCK for place in (number, number + 1))
        yield range(min(first, size), min(last, size))


@dataclass(frozen=True, slots=True)
class _Coming:
    """Bytes that another rank sends, piece by piece."""

    buffer: Tensor
    works: list[Work]


class _Exchange:
    """Bytes to and from other ranks, in pieces; between two ranks they arrive in the order in which they were sent."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._sent: list[tuple[Work, Tensor]] = []  # a tensor must live as long as it is being sent

    def send(self, data: Tensor, rank: int) -> None:
        for piece in torch.split(data.to(self._group.exchange_device), _PIECE_BYTES):
            self._sent.append((self._group.start_sending(piece, rank), piece))

    def receive(self, length: int, rank: int) -> _Coming:
        buffer = torch.empty(length, dtype=torch.uint8, device=self._group.exchange_device)
        return _Coming(
            buffer, [self._group.start_receiving(piece, rank) for piece in torch.split(buffer, _PIECE_BYTES)]
        )

    def finish(self, coming: _Coming) -> Tensor:
        """The bytes, on the CPU, when all have arrived."""
        for work in coming.works:
            self._group.finish(work)
        return coming.buffer.cpu()

    def finish_sending(self) -> None:
        for work, _ in self._sent:
            self._group.finish(work)
        self._sent.clear()
