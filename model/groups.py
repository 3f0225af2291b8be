"""Joining a process group. Only loopback is seen: the store is the agent's, and what connects to another rank's port
is carried by agents. The trainer knows a Group and nothing of what is behind it.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.agent_link import Agent
from model.collective import PortableGroup
from model.errors import PeerLostError
from model.store import GlooStore, LinkStore


class Group:
    """The members of a run, as this one sees them. A group of one needs no process group and has none."""

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over the members. Parameters begin as rank 0's."""
        if self.size == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" and dist.get_backend() == "nccl" else None
        return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value, summed over all members, in float64."""
        if self.size == 1:
            return list(values)
        with self.communicating():
            total = torch.tensor(values, dtype=torch.float64, device=self.device)
            dist.all_reduce(total)
            summed: list[float] = total.tolist()
        return summed

    def agree(self, digest: bytes) -> bool:
        """Do all members have this digest?"""
        if self.size == 1:
            return True
        mine = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(self.device)
        others = [torch.empty_like(mine) for _ in range(self.size)]
        with self.communicating():
            dist.all_gather(others, mine)
        return all(torch.equal(mine, other) for other in others)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Everybody takes rank 0's."""
        with self.communicating():
            for tensor in tensors if self.size > 1 else ():
                dist.broadcast(tensor, src=0)

    @contextlib.contextmanager
    def communicating(self) -> Iterator[None]:
        """Around anything that exchanges bytes with other members. Raises PeerLostError in place of RuntimeError.

        gloo raises a bare RuntimeError for a lost peer, so the place where it is raised has to tell it from others.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self.size == 1:
                raise
            raise PeerLostError(str(error)) from error

    def leave(self) -> None:
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join(
    backend: str,
    rank: int,
    size: int,
    agent: Agent,
    device: torch.device,
    seconds: float,
    near: Sequence[int] = (),
) -> Group:
    """Meet the others, of whom `near` share this loopback. Raises PeerLostError when they do not come within `seconds`.

    Only NCCL, on a network that its owner trusts, leaves loopback, by an interface of its own choice.
    """
    group = Group(rank, size, device)
    if size > 1:
        limit = datetime.timedelta(seconds=seconds)
        with group.communicating():
            if backend == "nccl":
                if len(near) == size - 1:
                    os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
                torch.cuda.set_device(device)
                store = LinkStore(agent, rank, seconds, frozenset(near))
                dist.init_process_group("nccl", store=store, rank=rank, world_size=size, timeout=limit)
            elif backend == "gloo":
                register("loopback", loopback_gloo)
                store = GlooStore(agent, rank, seconds, frozenset(near))
                dist.init_process_group("loopback", store=store, rank=rank, world_size=size, timeout=limit)
            else:
                store = LinkStore(agent, rank, seconds, frozenset(near))
                register("portable", lambda _, *place: PortableGroup(store, *place))
                dist.init_process_group("portable", store=store, rank=rank, world_size=size, timeout=limit)
    return group


def loopback_gloo(store: Any, rank: int, size: int, timeout: datetime.timedelta) -> dist.ProcessGroupGloo:
    """gloo chooses an interface by the host's name, which is 127.0.1.1 or worse on half of all laptops: bind it."""
    options = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined] # the only way to name a device
    options._devices = [dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
    options._timeout = timeout
    return dist.ProcessGroupGloo(store, rank, size, options)


def register(name: str, create: Callable[..., Any]) -> None:
    if name.upper() not in dist.Backend.__dict__:
        dist.Backend.register_backend(name, create, devices=["cpu", "cuda"])
