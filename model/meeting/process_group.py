"""What a rank knows before it meets the others, and the one call with which it joins torch's process group."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Backend as TorchBackend

from model.agent_link import Agent
from model.meeting.store import LinkStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """The place of this rank in a meeting of `size` ranks. Those in `near` share its loopback."""

    agent: Agent
    rank: int
    size: int
    near: frozenset[int]
    device: torch.device
    timeout_seconds: float


def init_process_group(backend: str, store: LinkStore, meeting: Meeting) -> None:
    """Make `backend` torch's default process group. Raises RuntimeError when a rank does not come in time."""
    timeout = datetime.timedelta(seconds=meeting.timeout_seconds)
    dist.init_process_group(backend, store=store, rank=meeting.rank, world_size=meeting.size, timeout=timeout)


def register(backend: str, create: Callable[..., dist.ProcessGroup | TorchBackend]) -> None:
    """Make `backend` known to torch, once: `create(store, rank, size, timeout)` returns its process group."""
    if backend.upper() not in dist.Backend.__dict__:
        dist.Backend.register_backend(backend, create, devices=["cpu", "cuda"])
