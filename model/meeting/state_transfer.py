"""State transfer: the ranks of a group that do not hold the state of the run receive it from those that do.

Newcomers need it, and members whose unlike processors have computed other last bits.

1. Every rank states what it has, in one small exchange: names, shapes and types of its tensors; a holder also the hash
   of its state, and whether all values are finite. From then on all ranks know who sends, who receives, and who is
   refused.
2. The state crosses as one sequence of bytes. Each sender has an equal part of it, and all send at the same time, in
   turn to each receiver, so that no rank is much earlier or later at the next exchange than another.
3. Every receiver compares the hash of what it has received, and all ranks learn who has the right one.
"""

from __future__ import annotations

import hashlib
import json
import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.distributed import Work

from model.arithmetic.state import extremes, state_hash
from model.errors import StateRefusedError
from model.meeting.group import Group

_PIECE_BYTES = 1 << 20
_PIECES_IN_FLIGHT = 4  # of each connection: enough to hide the way, and little beside the state itself
_CLAIM = struct.Struct("<32s32s?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Who sends the state of a run, who receives it, and its hash. Each rank either sends or receives."""

    senders: tuple[int, ...]
    receivers: tuple[int, ...]
    state_hash: bytes


def agree_on_transfer(group: Group, label: str, holders: Sequence[int], tensors: Mapping[str, Tensor]) -> Transfer:
    """Who sends the state to whom. `tensors` are those of this rank, and have their values on the ranks `holders`.

    The first of the holders decides: another holder whose state differs from it in some bits is a receiver too. No
    state is sent yet. Raises StateRefusedError on ranks whose label, or whose tensors' names, shapes or types differ
    from those of the first holder, and on holders whose state is not finite; PeerLostError on the other ranks.
    """
    is_holder = group.rank in holders
    claims = [_Claim.unpack(data) for data in group.gather(_claim(label, tensors, is_holder).pack())]
    first = holders[0]
    unfit = [rank for rank, claim in enumerate(claims) if claim.form != claims[first].form]
    group.blame(
        unfit,
        StateRefusedError(
            "the training state of rank {ranks} has other tensors, shapes or types than that of rank {holder}",
            "update CellMind on both devices: cellmindctl update",
            ranks=_listed(unfit),
            holder=first,
        ),
    )
    broken = [rank for rank in sorted(holders) if not claims[rank].is_finite]
    group.blame(
        broken,
        StateRefusedError("the training state of rank {ranks} has values that are not finite", ranks=_listed(broken)),
    )
    digest = claims[first].state_hash
    senders = tuple(rank for rank in sorted(holders) if claims[rank].state_hash == digest)
    receivers = tuple(rank for rank in range(group.size) if rank not in senders)
    return Transfer(senders=senders, receivers=receivers, state_hash=digest)


def transfer_state(group: Group, transfer: Transfer, tensors: Mapping[str, Tensor]) -> None:
    """Overwrite the receivers' tensors with the senders'. Every rank calls it after `agree_on_transfer`.

    Raises StateRefusedError on receivers of a state whose hash is wrong, PeerLostError on the others and where a rank
    is lost; then the tensors of a receiver are those of no state.
    """
    state = _Bytes(list(tensors.values()), group.exchange_device)
    # 1. The bytes.
    if group.rank in transfer.senders:
        _send(group, state, transfer)
        digest = transfer.state_hash
    else:
        _receive(group, state, transfer)
        digest = _digest(tensors)
    # 2. Whether they are the right ones.
    damaged = [rank for rank, other in enumerate(group.gather(digest)) if other != transfer.state_hash]
    group.blame(
        damaged,
        StateRefusedError("rank {ranks} received another state than the one that was sent", ranks=_listed(damaged)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What a rank says of its state."""

    form: bytes  # the SHA-256 of the label and of all names, shapes and types
    state_hash: bytes = bytes(32)  # zeros where it is not needed
    is_finite: bool = True

    def pack(self) -> bytes:
        return _CLAIM.pack(self.form, self.state_hash, self.is_finite)

    @classmethod
    def unpack(cls, data: bytes) -> _Claim:
        form, digest, is_finite = _CLAIM.unpack(data)
        return cls(form=form, state_hash=digest, is_finite=is_finite)


def _claim(label: str, tensors: Mapping[str, Tensor], is_holder: bool) -> _Claim:
    form = [(name, list(tensor.shape), str(tensor.dtype)) for name, tensor in tensors.items()]
    digest = hashlib.sha256(json.dumps([label, form]).encode()).digest()
    if not is_holder:
        return _Claim(form=digest)
    if not all(bool(extremes(tensor.detach()).isfinite().all()) for tensor in tensors.values()):
        return _Claim(form=digest, is_finite=False)
    return _Claim(form=digest, state_hash=_digest(tensors))


def _digest(tensors: Mapping[str, Tensor]) -> bytes:
    return bytes.fromhex(state_hash(tensors))


def _send(group: Group, state: _Bytes, transfer: Transfer) -> None:
    under_way = _UnderWay(group, _PIECES_IN_FLIGHT * len(transfer.receivers))
    for piece in _pieces(state.size, transfer.senders, group.rank):
        buffer = state.read(piece)
        for rank in transfer.receivers:
            under_way.add(group.start_sending(buffer, rank), lambda: None)
    under_way.finish()


def _receive(group: Group, state: _Bytes, transfer: Transfer) -> None:
    under_way = _UnderWay(group, _PIECES_IN_FLIGHT * len(transfer.senders))
    remaining = {rank: _pieces(state.size, transfer.senders, rank) for rank in transfer.senders}
    while remaining:
        for rank, pieces in list(remaining.items()):
            piece = next(pieces, None)
            if piece is None:
                del remaining[rank]
                continue
            buffer = state.buffer(piece)
            under_way.add(group.start_receiving(buffer, rank), _writing(state, piece, buffer))
    under_way.finish()


def _writing(state: _Bytes, piece: range, buffer: Tensor) -> Callable[[], None]:
    return lambda: state.write(piece, buffer)


def _pieces(size: int, senders: Sequence[int], rank: int) -> Iterator[range]:
    """The bytes that one of the senders sends, piece by piece."""
    number = senders.index(rank)
    start, stop = number * size // len(senders), (number + 1) * size // len(senders)
    return (range(first, min(first + _PIECE_BYTES, stop)) for first in range(start, stop, _PIECE_BYTES))


class _UnderWay:
    """Exchanges that have begun, up to a limit: before one more begins, the oldest must end."""

    def __init__(self, group: Group, limit: int) -> None:
        self._group, self._limit = group, limit
        self._works: deque[tuple[Work, Callable[[], None]]] = deque()

    def add(self, work: Work, on_end: Callable[[], None]) -> None:
        self._works.append((work, on_end))
        if len(self._works) >= self._limit:
            self._finish_oldest()

    def finish(self) -> None:
        while self._works:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        work, on_end = self._works.popleft()
        self._group.finish(work)
        on_end()


class _Bytes:
    """Tensors as one sequence of bytes, read and written through buffers of bytes on `device`."""

    def __init__(self, tensors: Sequence[Tensor], device: torch.device) -> None:
        self._flat = [tensor.detach().view(-1).view(torch.uint8) for tensor in tensors]  # (bytes of the tensor,) each
        self._ends = list(accumulate(len(flat) for flat in self._flat))
        self._device = device

    @property
    def size(self) -> int:
        return self._ends[-1]

    def buffer(self, piece: range) -> Tensor:
        """An empty buffer for the bytes of `piece`."""
        return torch.empty(len(piece), dtype=torch.uint8, device=self._device)

    def read(self, piece: range) -> Tensor:
        """A copy of the bytes of `piece`."""
        buffer = self.buffer(piece)
        for own, place in self._parts(piece):
            buffer[place].copy_(own)
        return buffer

    def write(self, piece: range, buffer: Tensor) -> None:
        """Overwrite the bytes of `piece`."""
        for own, place in self._parts(piece):
            own.copy_(buffer[place])

    def _parts(self, piece: range) -> Iterator[tuple[Tensor, slice]]:
        """The bytes of each tensor that lie in `piece`, and their place in a buffer for it."""
        number, start = bisect_right(self._ends, piece.start), piece.start
        while start < piece.stop:
            flat = self._flat[number]
            first = start - (self._ends[number] - len(flat))  # in this tensor
            own = flat[first : first + piece.stop - start]
            yield own, slice(start - piece.start, start - piece.start + len(own))
            start, number = start + len(own), number + 1


def _listed(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks))
