"""The process group NCCL: NVIDIA's collectives between CUDA GPUs.

NCCL alone leaves loopback, unencrypted and by an interface of its own choice: it is only for a trusted network.
"""

from __future__ import annotations

import os

import torch

from model.meeting.process_group import Meeting, have_patience, init_process_group
from model.meeting.store import LinkStore


def join(meeting: Meeting) -> None:
    """Meet the other ranks over NCCL. Raises RuntimeError when a rank does not come in time."""
    if len(meeting.near) == meeting.size - 1:  # NCCL need not leave this machine; it reads this once in a process
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    torch.cuda.set_device(meeting.device)
    store = LinkStore(meeting.agent, meeting.rank, meeting.timeout_seconds, meeting.near)
    init_process_group("nccl", store, meeting)
    have_patience(meeting)
