"""Joining a process group. Only loopback is seen: the store is the agent's, and nothing here listens elsewhere.

This is the seam for other hosts: the store may present forwarders in place of the others' addresses, and another
backend may carry the same calls. The trainer knows a Group and nothing of either.
"""

from __future__ import annotations

import base64
import datetime
import os
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.link import AgentLink

Backend = Literal["gloo", "nccl"]
_SLACK_SECONDS = 5.0


class LinkStore(dist.Store):  # type: ignore[name-defined, misc] # torch defines it only where built with distributed
    """`torch.distributed.Store` over the link: every key lives in the leader's agent."""

    def __init__(self, link: AgentLink, seconds: float) -> None:
        super().__init__()
        self._link, self._seconds = link, seconds

    def set(self, key: str, value: str | bytes) -> None:
        self._ask("set", key=key, data=_text(value))

    def get(self, key: str) -> bytes:
        return base64.b64decode(self._ask("get", keys=[key], seconds=self._seconds))

    def wait(self, keys: list[str], timeout: datetime.timedelta | None = None) -> None:
        self._ask("get", keys=list(keys), seconds=timeout.total_seconds() if timeout else self._seconds)

    def add(self, key: str, value: int) -> int:
        return int(self._ask("add", key=key, amount=value))

    def compare_set(self, key: str, expected: str | bytes, desired: str | bytes) -> bytes:
        answer = self._ask("compare_set", key=key, expected=_text(expected), desired=_text(desired))
        return base64.b64decode(answer)

    def check(self, keys: list[str]) -> bool:
        return bool(self._ask("check", keys=list(keys)))

    def delete_key(self, key: str) -> bool:
        return bool(self._ask("delete", key=key))

    def set_timeout(self, timeout: datetime.timedelta) -> None:
        self._seconds = timeout.total_seconds()

    def has_extended_api(self) -> bool:
        return False

    def _ask(self, method: str, **params: Any) -> Any:
        wait = params.get("seconds", self._seconds)
        return self._link.ask(f"store.{method}", params, wait + _SLACK_SECONDS)


class Group:
    """The members of a run, as this one sees them. A group of one needs no process group and has none."""

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size, self.device = rank, size, device
        self.wire_bytes = 0

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
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        self._count(total)
        summed: list[float] = total.tolist()
        return summed

    def agree(self, digest: bytes) -> bool:
        """Do all members have this digest?"""
        if self.size == 1:
            return True
        mine = torch.frombuffer(bytearray(digest), dtype=torch.uint8).to(self.device)
        others = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(others, mine)
        return all(torch.equal(mine, other) for other in others)

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Everybody takes rank 0's."""
        for tensor in tensors if self.size > 1 else ():
            dist.broadcast(tensor, src=0)
            self._count(tensor)

    def count_gradients(self, model: nn.Module) -> None:
        """A ring all-reduce sends 2 (n - 1) / n of the gradients from each member."""
        if self.size > 1:
            held = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
            self.wire_bytes += 2 * (self.size - 1) * held // self.size

    def leave(self) -> None:
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _count(self, tensor: Tensor) -> None:
        self.wire_bytes += 2 * (self.size - 1) * tensor.numel() * tensor.element_size() // self.size


def join(
    backend: Backend, rank: int, size: int, store: LinkStore | None, device: torch.device, seconds: float
) -> Group:
    """Meet the others. Raises RuntimeError when they do not come within `seconds`."""
    if size > 1:
        assert store is not None
        limit = datetime.timedelta(seconds=seconds)
        if backend == "nccl":
            os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
            torch.cuda.set_device(device)
            dist.init_process_group("nccl", store=store, rank=rank, world_size=size, timeout=limit)
        else:
            _register_loopback_gloo()
            dist.init_process_group("loopback", store=store, rank=rank, world_size=size, timeout=limit)
    return Group(rank, size, device)


def _register_loopback_gloo() -> None:
    """gloo chooses an interface by the host's name, which is 127.0.1.1 or worse on half of all laptops: bind it."""
    if "LOOPBACK" in dist.Backend.__dict__:
        return

    def create(store: LinkStore, rank: int, size: int, timeout: datetime.timedelta) -> dist.ProcessGroupGloo:
        options = dist.ProcessGroupGloo._Options()  # type: ignore[attr-defined] # the only way to name a device
        options._devices = [dist.ProcessGroupGloo.create_device(hostname="127.0.0.1")]
        options._timeout = timeout
        return dist.ProcessGroupGloo(store, rank, size, options)

    dist.Backend.register_backend("loopback", create, devices=["cpu", "cuda"])


def _text(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else bytes(value)).decode()
