"""The operations of the portable group. After a collective one every rank holds the same bits.

Large all_reduce: ring reduce-scatter, then ring all-gather (Patarasu and Yuan, "Bandwidth optimal all-reduce
algorithms for clusters of workstations", 2009): each element is summed in one place and copied to the others. Small
all_reduce: every rank sends to every other, and each sums in the order of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from model.meeting.portable.transport import Transport

_SMALL_BYTES = 32 * 1024  # fits into every system's socket buffers, so all ranks can send before any reads
_PIECE_BYTES = 1 << 20  # a ring's segment is sent in such pieces: one is summed while the next arrives

# How another rank's values enter ours. AVG is a sum that is divided at the end.
_COMBINE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "SUM": lambda into, other: into.add_(other),
    "AVG": lambda into, other: into.add_(other),
    "PRODUCT": lambda into, other: into.mul_(other),
    "MIN": lambda into, other: torch.minimum(into, other, out=into),
    "MAX": lambda into, other: torch.maximum(into, other, out=into),
}
REDUCTIONS = tuple(_COMBINE)


class Collectives:
    """Operations on tensors of any device, stride and dtype, one at a time. All raise MemberGoneError and OSError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def all_reduce(self, tensors: Sequence[Tensor], reduction: str) -> None:
        """Replace each tensor by its reduction (one of REDUCTIONS) over all ranks."""
        for tensor in tensors:
            flat = _flat_on_cpu(tensor)
            if self._transport.size == 1:
                pass
            elif flat.numel() * flat.element_size() <= _SMALL_BYTES:
                gathered = self._exchange("all_reduce", flat)
                for other in gathered[1:]:
                    _COMBINE[reduction](gathered[0], other)
                flat.copy_(gathered[0])
            else:
                segments = flat.tensor_split(self._transport.size)
                self._reduce_on_ring("all_reduce", segments, reduction, gather=True)
            self._finish(flat, reduction)
            _copy_back(flat, tensor)

    def broadcast(self, tensors: Sequence[Tensor], root: int) -> None:
        """Replace each tensor by that of rank `root`."""
        for tensor in tensors:
            flat = _flat_on_cpu(tensor)
            if self._transport.rank == root:
                for peer in self._transport.peers:
                    self._transport.send("broadcast", peer, flat)
                self._transport.flush()
            else:
                self._transport.receive("broadcast", root, flat)
                _copy_back(flat, tensor)

    def all_gather(self, outputs: Sequence[Sequence[Tensor]], inputs: Sequence[Tensor]) -> None:
        """Fill `outputs[i][rank]` with `inputs[i]` of each rank."""
        for outputs_by_rank, tensor in zip(outputs, inputs, strict=True):
            flat = _flat_on_cpu(tensor)
            self._swap("all_gather", outputs_by_rank, [flat] * self._transport.size)

    def reduce_scatter(self, outputs: Sequence[Tensor], inputs: Sequence[Sequence[Tensor]], reduction: str) -> None:
        """Fill `outputs[i]` with the reduction of `inputs[i][our rank]` over all ranks."""
        for output, tensors in zip(outputs, inputs, strict=True):
            segments = [_flat_on_cpu(tensor).clone() for tensor in tensors]
            if self._transport.size > 1:
                self._reduce_on_ring("reduce_scatter", segments, reduction, gather=False)
            ours = segments[self._transport.rank]
            self._finish(ours, reduction)
            _copy_back(ours, output)

    def all_to_all(self, outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
        """Fill `outputs[rank]` with the input that each rank has for ours."""
        self._swap("all_to_all", outputs, [_flat_on_cpu(tensor) for tensor in inputs])

    def barrier(self) -> None:
        """Return when every rank has called it."""
        self._exchange("barrier", torch.zeros(1, dtype=torch.uint8))

    def send(self, tensors: Sequence[Tensor], peer: int) -> None:
        """Send each tensor to one rank. Return when the stream has taken them."""
        for tensor in tensors:
            self._transport.send_message(peer, _flat_on_cpu(tensor))
        self._transport.flush()

    def receive(self, tensors: Sequence[Tensor], peer: int) -> None:
        """Replace each tensor by the one that `peer` sends."""
        for tensor in tensors:
            flat = _flat_on_cpu(tensor)
            self._transport.receive_message(peer, flat)
            _copy_back(flat, tensor)

    def _exchange(self, operation: str, flat: Tensor) -> list[Tensor]:
        """The small tensors of all ranks, in the order of ranks."""
        for peer in self._transport.peers:
            self._transport.send_now(operation, peer, flat)
        gathered = [flat.clone() for _ in range(self._transport.size)]
        for peer in self._transport.peers:
            self._transport.receive(operation, peer, gathered[peer])
        return gathered

    def _swap(self, operation: str, outputs: Sequence[Tensor], flat_by_rank: Sequence[Tensor]) -> None:
        """Send one tensor to each rank, and fill one output from each."""
        for peer in self._transport.peers:
            self._transport.send(operation, peer, flat_by_rank[peer])
        for rank, output in enumerate(outputs):
            flat = _flat_on_cpu(output)
            if rank == self._transport.rank:
                flat.copy_(flat_by_rank[rank])
            else:
                self._transport.receive(operation, rank, flat)
            _copy_back(flat, output)
        self._transport.flush()

    def _reduce_on_ring(self, operation: str, segments: Sequence[Tensor], reduction: str, gather: bool) -> None:
        """Reduce segment `rank` over all ranks in place; with `gather`, all segments. One segment belongs to each rank.

        Pieces are passed on as they arrive, so the two phases overlap. No piece is copied before it is queued: it is
        only overwritten by data that depends on its having been received.
        """
        transport, size, rank = self._transport, self._transport.size, self._transport.rank
        following, preceding = (rank + 1) % size, (rank - 1) % size
        # 1. Reduce-scatter: partial sums move along the ring; the last to arrive completes our own segment.
        for piece in _pieces(segments[(rank - 1) % size]):
            transport.send(operation, following, piece)
        for step in range(2, size + 1):
            for piece in _pieces(segments[(rank - step) % size]):
                other = torch.empty_like(piece)
                transport.receive(operation, preceding, other)
                _COMBINE[reduction](piece, other)
                if step < size or gather:
                    transport.send(operation, following, piece)
        # 2. All-gather: finished segments move along the ring.
        for step in range(1, size if gather else 1):
            for piece in _pieces(segments[(rank - step) % size]):
                transport.receive(operation, preceding, piece)
                if step < size - 1:
                    transport.send(operation, following, piece)
        transport.flush()

    def _finish(self, flat: Tensor, reduction: str) -> None:
        if reduction == "AVG":
            flat.div_(self._transport.size)


def _flat_on_cpu(tensor: Tensor) -> Tensor:
    """A contiguous vector on the CPU: the tensor's own memory if it is contiguous and there, else a copy."""
    return tensor.detach().cpu().contiguous().view(-1)


def _copy_back(flat: Tensor, tensor: Tensor) -> None:
    """Write `flat` into `tensor`, unless they are the same memory."""
    if tensor.data_ptr() != flat.data_ptr():
        tensor.detach().copy_(flat.view(tensor.shape))


def _pieces(flat: Tensor) -> Iterable[Tensor]:
    return torch.split(flat, max(1, _PIECE_BYTES // flat.element_size())) if flat.numel() else ()
