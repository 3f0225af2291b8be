"""Finds the accelerator without torch: by NVIDIA's tool, or by the name of the Apple chip."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys

from cellmind_agent.protocol.limits import ACCELERATOR_QUERY_SECONDS
from cellmind_agent.protocol.messages import Accelerator

_QUERY = ("--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits")


def find_accelerator() -> Accelerator | None:
    """The first GPU that torch could use, or None."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        # The GPU uses the machine's memory, and has none of its own.
        return Accelerator(kind="mps", name="Apple GPU", uuid="mps", memory_bytes=0)
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    try:
        found = subprocess.run(
            [tool, *_QUERY],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ACCELERATOR_QUERY_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_nvidia(found.stdout)


def parse_nvidia(text: str) -> Accelerator | None:
    """The GPU in the first line of `uuid, name, MiB`, or None if the line is anything else."""
    fields = [field.strip() for field in text.partition("\n")[0].split(",")]
    if len(fields) != 3 or not fields[0].startswith("GPU-") or not fields[2].isdigit():
        return None
    return Accelerator(kind="cuda", name=fields[1], uuid=fields[0], memory_bytes=int(fields[2]) << 20)
