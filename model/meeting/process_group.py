"""What a rank knows before it meets the others, and the one call with which it joins torch's process group."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Backend as TorchBackend
from torch.distributed import distributed_c10d

from model.agent_link import Agent
from model.meeting.store import LinkStore

Create: TypeAlias = Callable[..., dist.ProcessGroup | TorchBackend]

_CONNECT_SECONDS = 20.0  # when all are there: usually a tenth of a second

_creates: dict[str, Create] = {}  # by backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """The place of this rank in a meeting of `size` ranks. Those in `near` share its loopback."""

    agent: Agent
    rank: int
    size: int
    near: frozenset[int]
    device: torch.device
    timeout_seconds: float  # to come
    patience_seconds: float  # in an exchange


def init_process_group(backend: str, store: LinkStore, meeting: Meeting) -> None:
    """Make `backend` torch's default process group. Raises RuntimeError when a rank does not come in time."""
    # DDP imports this module, and its functions' defaults keep the group that exists then: import it before.
    import torch.distributed.nn.functional  # noqa: F401

    # A rank that waits in the store is free at once if the agent refuses it. In gloo it waits to the end of its time
    # for one that has introduced itself and is gone. So first all arrive, and then they connect in a short time.
    store.arrive(meeting.size)
    timeout = datetime.timedelta(seconds=_CONNECT_SECONDS)
    hook = sys.excepthook
    try:
        dist.init_process_group(backend, store=store, rank=meeting.rank, world_size=meeting.size, timeout=timeout)
    finally:
        sys.excepthook = hook  # torch wraps it each time
        if not dist.is_initialized():
            # torch counts a failed attempt, and the count is part of each key: the next attempt must have the keys of a
            # rank whose attempt is its first.
            distributed_c10d._world.group_count = 0


def have_patience(meeting: Meeting) -> None:
    """From now on an exchange may take longer than the meeting did. Only gloo and NCCL limit an exchange."""
    distributed_c10d._set_pg_timeout(datetime.timedelta(seconds=meeting.patience_seconds))


def register(backend: str, create: Create) -> None:
    """Make `backend` known to torch: `create(store, rank, size, timeout)` returns its next process groups."""
    _creates[backend] = create
    if backend.upper() not in dist.Backend.__dict__:  # torch takes a name only once
        dist.Backend.register_backend(backend, lambda *place: _creates[backend](*place), devices=["cpu", "cuda"])
