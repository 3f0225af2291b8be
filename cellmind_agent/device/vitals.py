"""This device's figures, by psutil. `power.py` reads battery and heat.

Every figure is optional and names its source. Where a platform denies one (Android hides /proc/stat), the figure is
missing rather than a false 0.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import psutil

from cellmind_agent import __version__
from cellmind_agent.device.accelerator import find_accelerator
from cellmind_agent.device.power import Power
from cellmind_agent.protocol.messages import Figure, Versions, Vitals

T = TypeVar("T")

# A smaller change of a figure is not worth a message.
_COARSE_STEPS = {"cpu_percent": 10.0, "ram_available_bytes": 64 * 2**20, "disk_free_bytes": 256 * 2**20, "load": 0.5}


def read_vitals(home: Path, power: Power) -> Vitals:
    """What the platform knows now, without the device's name, run and speed. The CPU load is the mean since the last
    call."""
    memory = _or_none(psutil.virtual_memory)
    return replace(
        _fixed(),
        cpu_percent=_figure(lambda: psutil.cpu_percent(interval=None), "psutil"),
        load=_figure(lambda: os.getloadavg()[0], "getloadavg"),
        ram_total_bytes=Figure(value=float(memory.total), source="psutil") if memory else None,
        ram_available_bytes=Figure(value=float(memory.available), source="psutil") if memory else None,
        disk_free_bytes=_figure(lambda: float(psutil.disk_usage(str(home)).free), "statvfs"),
        temperature_celsius=power.temperature,
        battery=power.battery,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How busy the processor is, read at one moment. Seconds count from some moment in the past."""

    cores: int  # of the machine
    usable_cores: int  # by this process
    busy_seconds: float | None  # of all cores together
    own_seconds: float  # of the processor, used by this agent and its trainer


def read_load(trainer: int) -> Load:
    """The load of this moment; `trainer` is the process id of the trainer."""
    usable = _usable_cpus() or 1
    return Load(
        cores=psutil.cpu_count() or usable,
        usable_cores=usable,
        busy_seconds=_or_none(_busy_seconds),
        own_seconds=sum(_or_none(functools.partial(_processor_seconds, pid)) or 0.0 for pid in (os.getpid(), trainer)),
    )


def differ_noticeably(old: Vitals, new: Vitals) -> bool:
    """True when the change is worth a message: small changes of busy figures are not."""
    for name, step in _COARSE_STEPS.items():
        before, after = getattr(old, name), getattr(new, name)
        if (before is None) != (after is None) or (before and abs(before.value - after.value) >= step):
            return True
    return _without_busy_figures(old) != _without_busy_figures(new)


def _without_busy_figures(vitals: Vitals) -> Vitals:
    return replace(
        vitals,
        cpu_percent=None,
        ram_available_bytes=None,
        disk_free_bytes=None,
        load=None,
        temperature_celsius=None,
    )


def local_versions() -> Versions:
    """The versions of CellMind, Python and torch on this device."""
    return _fixed().versions


# Cached, because nvidia-smi can take seconds.
@functools.cache
def _fixed() -> Vitals:
    """What does not change while the agent runs."""
    return Vitals(
        name="",
        host=_host(),
        os=sys.platform,
        arch=platform.machine(),
        versions=Versions(cellmind=__version__, python=platform.python_version(), torch=_torch_version()),
        cpu_count=_usable_cpus(),
        accelerator=find_accelerator(),
    )


def _torch_version() -> str | None:
    """From the package's metadata, because the agent never imports torch."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def _host() -> str:
    """An id that all agents on this machine's loopback share until the machine restarts; it reveals nothing else."""
    try:
        seed = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
        with contextlib.suppress(OSError):  # a container has its own loopback
            seed += str(Path("/proc/self/ns/net").readlink())
    except OSError:
        seed = f"{uuid.getnode()}"
    return hashlib.sha256(b"cellmind-host-1" + seed.encode()).hexdigest()[:16]


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _busy_seconds() -> float:
    """Work of all cores since the machine started. Time that a hypervisor took away is not work of this machine."""
    times = psutil.cpu_times()
    return float(times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq")))


def _processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _figure(read: Callable[[], float], source: str) -> Figure | None:
    value = _or_none(read)
    return None if value is None else Figure(value=float(value), source=source)


def _or_none(read: Callable[[], T]) -> T | None:
    """The result of `read`, or None when the platform lacks that figure or denies it."""
    try:
        return read()
    except (OSError, LookupError, AttributeError, NotImplementedError, RuntimeError, psutil.Error):
        return None
