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
from torch.nn.parallel import DistributedDataParallel

from model.agent_link import Agent
from model.errors import PeerLostError
from model.line.failure import CallFailedError
from model.meeting import gloo, nccl
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

    def wrap(self, model: nn.Module) -> nn.Module:
        """`model`, whose backward pass averages gradients over the members. Their weights become those of rank 0."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" and dist.get_backend() == "nccl" else None
        with self.communicating():  # the constructor sends the weights of rank 0
            return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all members, in float64."""
        if self.size == 1:
            return list(values)
        with self.communicating():
            total = torch.tensor(values, dtype=torch.float64, device=self.device)  # (N,)
            dist.all_reduce(total)
            summed: list[float] = total.tolist()
        return summed

    def agree(self, digest: bytes) -> bool:
        """Whether all members have the same digest."""
        if self.size == 1:
            return True
        ours = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(self.device)  # (bytes of the digest,)
        digests = [torch.empty_like(ours) for _ in range(self.size)]
        with self.communicating():
            dist.all_gather(digests, ours)
        return all(torch.equal(ours, other) for other in digests)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite every member's tensors with those of rank 0."""
        with self.communicating():
            for tensor in tensors if self.size > 1 else ():
                dist.broadcast(tensor, src=0)

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
            raise PeerLostError(str(error)) from error

    def leave(self) -> None:
        """End the process group, and close its connections: ranks that wait for this one fail then.

        Every model from `wrap` must be dropped before. It keeps the group alive, and gloo's connections stay open as
        long as the group. What is in a cycle of references, or was in the frames of an error, is collected here.
        """
        gc.collect()
        if self.size > 1 and dist.is_initialized():
            try:
                dist.destroy_process_group()
            except (RuntimeError, OSError) as error:  # it is broken already
                _log.debug("the process group ended with an error: %s", error)
            gc.collect()


def join(
    backend: str,
    rank: int,
    size: int,
    agent: Agent,
    device: torch.device,
    timeout_seconds: float,
    near: Sequence[int] = (),
) -> Group:
    """Meet the other ranks; those in `near` share this loopback.

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
        )
        with group.communicating():
            JOIN_BY_BACKEND[backend](meeting)
    return group
