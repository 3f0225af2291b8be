"""Which device this process computes on, and with how many threads. For the trainer and the answerer alike."""

from __future__ import annotations

import os

import torch


def choose_device(name: str | None = None, rank: int = 0) -> torch.device:
    """The device called `name`, else the one that CELLMIND_DEVICE names, else a CUDA GPU, else the CPU.

    Ranks on one machine take its GPUs in turn. Raises RuntimeError for a name that torch does not know.
    """
    name = name or os.environ.get("CELLMIND_DEVICE")
    if name:
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", rank % torch.cuda.device_count())
    return torch.device("cpu")


def choose_threads(members_on_this_host: int) -> int:
    """This process's part of the usable cores: more threads than cores makes training many times slower.

    OMP_NUM_THREADS in the agent's environment is an upper limit of the usable cores.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        usable = min(usable, int(limit))
    return max(1, usable // max(1, members_on_this_host))
