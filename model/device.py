"""Which devices this process computes on, and with how many threads. For the trainer and the answerer alike."""

from __future__ import annotations

import importlib.util
import os

import torch


def choose_devices(rank: int = 0, size: int = 1, members_on_this_host: int = 1) -> tuple[torch.device, ...]:
    """What this rank of a run of `size` members computes on: CUDA GPUs, Apple's GPU, or the CPU.

    CELLMIND_DEVICE names one or several instead ("cpu", "cuda:0,cuda:1"). Without it, a member that is alone on its
    machine takes all GPUs that equal the first, since a slower one would keep them waiting; several members take a GPU
    each, in turn. Raises RuntimeError for a name that torch does not know.
    """
    names = os.environ.get("CELLMIND_DEVICE")
    if names:
        return tuple(torch.device(name.strip()) for name in names.split(","))
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if members_on_this_host > 1:
            return (torch.device("cuda", rank % count),)
        kinds = [torch.cuda.get_device_name(index) for index in range(count)]
        return tuple(torch.device("cuda", index) for index, kind in enumerate(kinds) if kind == kinds[0])
    if torch.backends.mps.is_available() and size == 1:  # gloo cannot send its tensors
        return (torch.device("mps"),)
    return (torch.device("cpu"),)


def choose_threads(members_on_this_host: int) -> int:
    """This process's part of the usable cores: more threads than cores makes training many times slower.

    OMP_NUM_THREADS in the agent's environment is an upper limit of the usable cores.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        usable = min(usable, int(limit))
    return max(1, usable // max(1, members_on_this_host))


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 matrices, to be found out by a race on a CPU."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        torch.ones(2, 2, dtype=torch.bfloat16, device=device) @ torch.ones(2, 2, dtype=torch.bfloat16, device=device)
    except (RuntimeError, TypeError):
        return False
    return True


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile is worth a try: on CUDA GPUs that Triton supports, where Triton is installed."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (7, 0):
        return False
    return importlib.util.find_spec("triton") is not None


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
