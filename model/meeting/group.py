"""The members of a run as a trainer sees them: a `Group`, and `join`, which makes one.

Ranks see only loopback: the store is the agent's, and agents carry each connection to the port of another rank.
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from model.agent_link import Agent
from model.errors import ModelError, PeerLostError
from model.line.failure import CallFailedError
from model.meeting import gloo, nccl
from model.meeting.cutting import cut_connections
from model.meeting.portable import group as portable
from model.meeting.process_group import Meeting

_log = logging.getLogger(__name__)

# The agent chooses one of these names: cellmind_agent/planning/backends.py has the same ones, with their reasons.
JOIN_BY_BACKEND: Mapping[str, Callable[[Meeting], None]] = {
    "gloo": gloo.join,
    "nccl": nccl.join,
    "portable": portable.join,
}


class Group:
    """The members of a run, each with its rank. A group of one member needs no process group and has none.

    Methods that exchange bytes raise PeerLostError.
    """

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device
        self._is_broken = False

    @property
    def exchange_device(self) -> torch.device:
        """Where a tensor must lie that one rank sends to another: NCCL sends from its GPU, the others from the CPU."""
        return self.device if self._is_nccl else torch.device("cpu")

    def wrap(
        self,
        model: nn.Module,
        watch: Callable[[Tensor], None] = lambda gradients: None,
        travels_in: torch.dtype | None = None,
    ) -> nn.Module:
        """`model`, whose backward pass averages gradients over the members, which send them in this precision (None: as
        they are). The weights of all must be equal.

        `watch` sees this member's own gradients, some at a time, before they are averaged. It may neither keep them nor
        refer to the wrapped model.
        """
        if self.size == 1:
            return model
        ids = [self.device.index] if self._is_nccl else None
        with self.communicating():
            wrapped = DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True, init_sync=False)
        wrapped.register_comm_hook(None, lambda _, bucket: _average(bucket.buffer(), watch, self.size, travels_in))
        return wrapped

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all members, in float64."""
        if self.size == 1:
            return list(values)
        with self.communicating():
            total = torch.tensor(values, dtype=torch.float64, device=self.device)  # (N,)
            dist.all_reduce(total)
            summed: list[float] = total.tolist()
        return summed

    def gather(self, data: bytes) -> list[bytes]:
        """The data of all members, in the order of ranks. They must be of one length."""
        if self.size == 1:
            return [data]
        ours = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(self.device)  # (bytes,)
        gathered = [torch.empty_like(ours) for _ in range(self.size)]
        with self.communicating():
            dist.all_gather(gathered, ours)
            return [bytes(other.tolist()) for other in gathered]

    def agree(self, digest: bytes) -> bool:
        """Whether all members have the same digest."""
        return all(other == digest for other in self.gather(digest))

    def blame(self, ranks: Sequence[int], error: ModelError) -> None:
        """Raise `error` on these ranks, and PeerLostError with the same message on the others; nothing without ranks.

        All members must call it with the same ranks. The trainers to blame end, and the others meet again without them.
        """
        if self.rank in ranks:
            raise error
        if ranks:
            raise PeerLostError("{why}", why=error.message)

    def swap(self, parts: Sequence[Tensor], lengths: Sequence[int]) -> list[Tensor]:
        """Send `parts[rank]` to each rank, and return what each has sent here, of these lengths: bytes, on the CPU."""
        device = self.exchange_device
        received = torch.empty(sum(lengths), dtype=torch.uint8, device=device)
        with self.communicating():
            sizes = [len(part) for part in parts]
            dist.all_to_all_single(received, torch.cat(list(parts)).to(device), list(lengths), sizes)
            return list(torch.split(received.cpu(), list(lengths)))

    def start_sending(self, tensor: Tensor, rank: int) -> dist.Work:
        """Begin to send a tensor on `exchange_device` to another rank, which receives it. It must not change before
        `finish`. Between two ranks, tensors arrive in the order in which they were sent."""
        with self.communicating():
            return _is_started(dist.isend(tensor, rank))

    def start_receiving(self, tensor: Tensor, rank: int) -> dist.Work:
        """Begin to fill a tensor on `exchange_device` with what another rank sends."""
        with self.communicating():
            return _is_started(dist.irecv(tensor, rank))

    def finish(self, work: dist.Work) -> None:
        """Wait until the tensor is sent or filled."""
        with self.communicating():
            work.wait()

    @contextlib.contextmanager
    def communicating(self) -> Iterator[None]:
        """Around code that exchanges bytes with other members: errors of communication become a PeerLostError.

        gloo raises a bare RuntimeError for a lost peer, and sockets raise OSError, so only the place where an error was
        raised identifies it. The agent refuses the store of a group that is over by a CallFailedError.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, CallFailedError) as error:
            if self.size == 1:
                raise
            self._is_broken = True
            raise PeerLostError(str(error)) from error

    def leave(self) -> None:
        """End the process group, and close its connections: ranks that wait for this one fail then.

        Every model from `wrap` must be dropped before. It keeps the group alive, and gloo's connections stay open as
        long as the group. What is in a cycle of references, or was in the frames of an error, is collected here.
        """
        gc.collect()
        if self.size > 1 and dist.is_initialized():
            if self._is_broken and not self._is_nccl:
                cut_connections()  # torch waits for the exchanges that are under way, here and in the other ranks
            try:
                dist.destroy_process_group()
            except (RuntimeError, OSError) as error:  # it is broken already
                _log.debug("the process group ended with an error: %s", error)
            gc.collect()

    @property
    def _is_nccl(self) -> bool:
        return self.device.type == "cuda" and dist.get_backend() == "nccl"


def _average(
    gradients: Tensor, watch: Callable[[Tensor], None], size: int, travels_in: torch.dtype | None
) -> Future[Tensor]:
    """What DDP itself does with its buckets of gradients, to the bit, after `watch` has seen them. In bfloat16 it is
    what torch's `bf16_compress_hook` does."""
    watch(gradients)
    sent = gradients.mul_(1 / size)
    sent = sent if travels_in is None else sent.to(travels_in)
    work = dist.all_reduce(sent, async_op=True)
    return _is_started(work).get_future().then(lambda averaged: gradients.copy_(averaged.value()[0]))


def _is_started(work: dist.Work | None) -> dist.Work:
    assert work is not None, "every rank is in the group"
    return work


def join(
    backend: str,
    rank: int,
    size: int,
    agent: Agent,
    device: torch.device,
    timeout_seconds: float,
    near: Sequence[int] = (),
    patience_seconds: float | None = None,
) -> Group:
    """Meet the other ranks; those in `near` share this loopback. An exchange may take `patience_seconds`; None: as long
    as the meeting.

    Raises ValueError for an unknown backend, PeerLostError when a rank does not come within `timeout_seconds`.
    """
    if backend not in JOIN_BY_BACKEND:
        raise ValueError(f"backend {backend!r} is not known to this version; known: {', '.join(JOIN_BY_BACKEND)}")
    group = Group(rank, size, device)
    if size > 1:
        meeting = Meeting(
            agent=agent,
            rank=rank,
            size=size,
            near=frozenset(near),
            device=device,
            timeout_seconds=timeout_seconds,
            patience_seconds=timeout_seconds if patience_seconds is None else patience_seconds,
        )
        with group.communicating():
            JOIN_BY_BACKEND[backend](meeting)
    return group
