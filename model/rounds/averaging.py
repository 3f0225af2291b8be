"""The weighted mean over all members of a vector, with few bytes on the wire and the same bits everywhere.

A reduce-scatter and an all-gather, both of encoded values: each rank owns a part of the vector, receives that part from
every other rank, averages, and sends the mean to all. With k ranks each sends and receives 2 (k - 1) / k vectors. Or
one rank, the center, owns all of it: a star, for networks in which that one is connected best. Everybody, the owner
too, goes on with what the owner's bytes decode to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.meeting.group import Group
from model.rounds.blockwise import EIGHT_BITS, FOUR_BITS

_ALIGNMENT = 256  # parts begin at whole blocks of every coding


class Coding(Protocol):
    """How float32 values travel."""

    def encoded_bytes(self, count: int) -> int: ...
    def encode(self, values: Tensor) -> Tensor: ...
    def decode(self, data: Tensor, count: int) -> Tensor: ...


class InFull:
    """The values as they are."""

    def encoded_bytes(self, count: int) -> int:
        return 4 * count

    def encode(self, values: Tensor) -> Tensor:
        return values.contiguous().view(torch.uint8)

    def decode(self, data: Tensor, count: int) -> Tensor:
        return data.clone().view(torch.float32)


class InHalf:
    """The values in bfloat16: as far from zero, with three digits."""

    def encoded_bytes(self, count: int) -> int:
        return 2 * count

    def encode(self, values: Tensor) -> Tensor:
        return values.to(torch.bfloat16).view(torch.uint8)

    def decode(self, data: Tensor, count: int) -> Tensor:
        return data.clone().view(torch.bfloat16).float()


FLOAT32: Coding = InFull()
BFLOAT16: Coding = InHalf()
INT8: Coding = EIGHT_BITS
INT4: Coding = FOUR_BITS


@dataclass(slots=True)
class _Lost:
    own: Tensor  # of the values that this rank has sent (N,)
    mean: Tensor  # of the part that it owns
    part: range


class Feedback:
    """What coding has lost is added to the next values, so that nothing is lost for good (Seide et al. 2014, "1-Bit
    Stochastic Gradient Descent"; Karimireddy et al. 2019). A mean may be made again until `settle`."""

    def __init__(self) -> None:
        self._settled: _Lost | None = None
        self.newest: _Lost | None = None

    def settle(self) -> None:
        """The last mean counts."""
        self._settled, self.newest = self.newest or self._settled, None

    def own(self, length: int) -> Tensor | None:
        """What was lost of this rank's values, if they had this length."""
        return self._settled.own if self._settled and len(self._settled.own) == length else None

    def mean(self, part: range) -> Tensor | None:
        """What was lost of the mean of this part, if this rank owned it the last time too."""
        return self._settled.mean if self._settled and self._settled.part == part else None


def weighted_mean(
    group: Group,
    own: Tensor,
    weights: Sequence[float],
    coding: Coding,
    feedback: Feedback | None = None,
    center: int | None = None,
) -> Tensor:
    """The mean (N,) of the vectors of all members, by their weights; `own` (N,) is float32 on the CPU, and finite.

    Every rank calls it with a vector of one length, the same weights, one for each rank and at least 0, and the same
    `center`: the rank that averages all of it. Zeros if all weights are 0. Raises PeerLostError.
    """
    total = sum(weights)
    if total <= 0:
        return torch.zeros_like(own)
    lost_before = feedback.own(len(own)) if feedback and weights[group.rank] else None
    values = own if lost_before is None else own + lost_before
    parts = list(_parts(len(own), group.size, center))
    mine, others = parts[group.rank], [rank for rank in range(group.size) if rank != group.rank]
    # 1. Every rank sends each other one that one's part, and averages its own part.
    encoded = {rank: coding.encode(values[parts[rank].start : parts[rank].stop]) for rank in others}
    received = _swap(group, encoded, dict.fromkeys(others, coding.encoded_bytes(len(mine))))
    mean = torch.zeros(len(mine))
    for rank, weight in enumerate(weights):
        is_own = rank == group.rank
        part = values[mine.start : mine.stop] if is_own else coding.decode(received[rank], len(mine))
        mean += part * (weight / total)
    lost_of_mean = feedback.mean(mine) if feedback else None
    if lost_of_mean is not None:
        mean += lost_of_mean
    # 2. Every rank sends its mean to all.
    own_mean = coding.encode(mean)
    lengths = {rank: coding.encoded_bytes(len(parts[rank])) for rank in others}
    means = _swap(group, dict.fromkeys(others, own_mean), lengths) | {group.rank: own_mean}
    decoded = [coding.decode(means[rank], len(part)) for rank, part in enumerate(parts)]
    if feedback:
        lost = torch.zeros_like(own)
        for rank in others if weights[group.rank] else ():
            place = slice(parts[rank].start, parts[rank].stop)
            lost[place] = values[place] - coding.decode(encoded[rank], len(parts[rank]))
        if not weights[group.rank] and (kept := feedback.own(len(own))) is not None:
            lost = kept
        feedback.newest = _Lost(lost, mean - decoded[group.rank], mine)
    return torch.cat(decoded)


def _swap(group: Group, data: Mapping[int, Tensor], lengths: Mapping[int, int]) -> dict[int, Tensor]:
    """Send bytes to each other rank, and return the bytes of these lengths that each has sent here."""
    nothing = torch.empty(0, dtype=torch.uint8)
    ranks = range(group.size)
    return dict(enumerate(group.swap([data.get(rank, nothing) for rank in ranks], [lengths.get(r, 0) for r in ranks])))


def _parts(size: int, count: int, center: int | None) -> Iterator[range]:
    """Equal parts of a vector, which begin at blocks; or all of it for `center`, and nothing for the others."""
    if center is not None:
        yield from (range(size) if rank == center else range(0) for rank in range(count))
        return
    blocks = -(-size // _ALIGNMENT)
    for number in range(count):
        first, last = (blocks * place // count * _ALIGNMENT for place in (number, number + 1))
        yield range(min(first, size), min(last, size))
