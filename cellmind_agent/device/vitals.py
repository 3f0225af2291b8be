"""This device's figures. The only psutil import. Every figure is optional and tagged with its source: where a platform
denies one (Android hides /proc/stat), it is missing rather than a false 0."""

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
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.messages import Battery, Figure, Versions, Vitals

T = TypeVar("T")

_COARSE = {"cpu_percent": 10.0, "ram_available_bytes": 64 * 2**20, "disk_free_bytes": 256 * 2**20, "load": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the agent knows and no sensor does."""

    name: str
    run: RunId | None
    tokens_per_second: Figure | None


def read_vitals(home: Path, situation: Situation) -> Vitals:
    """All figures, now. CPU is the mean since the last call."""
    memory = _or_none(psutil.virtual_memory)
    return replace(
        _fixed(),
        name=situation.name,
        run=situation.run,
        tokens_per_second=situation.tokens_per_second,
        cpu_percent=_figure(lambda: psutil.cpu_percent(interval=None), "psutil"),
        load=_figure(lambda: os.getloadavg()[0], "getloadavg"),
        ram_total_bytes=Figure(value=float(memory.total), source="psutil") if memory else None,
        ram_available_bytes=Figure(value=float(memory.available), source="psutil") if memory else None,
        disk_free_bytes=_figure(lambda: float(psutil.disk_usage(str(home)).free), "statvfs"),
        temperature_celsius=_figure(_hottest, "psutil"),
        battery=_battery(),
    )


def really_differ(old: Vitals, new: Vitals) -> bool:
    """Is the change worth a message? Small moves of busy figures are not."""
    for name, step in _COARSE.items():
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
    return _fixed().versions


@functools.cache
def _fixed() -> Vitals:
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
    """From the package's metadata: the agent never imports torch."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def _host() -> str:
    """The same for every agent that shares this machine's loopback, until it restarts; useless to anybody else."""
    try:
        seed = Path("/proc/sys/kernel/random/boot_id").read_text()
        with contextlib.suppress(OSError):  # a container has a loopback of its own
            seed += str(Path("/proc/self/ns/net").readlink())
    except OSError:
        seed = f"{uuid.getnode()}"
    return hashlib.sha256(b"cellmind-host-1" + seed.encode()).hexdigest()[:16]


def _usable_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _hottest() -> float:
    """Raises LookupError where there is no sensor."""
    if not hasattr(psutil, "sensors_temperatures"):
        raise LookupError("no sensors on this platform")
    readings = [sensor.current for group in psutil.sensors_temperatures().values() for sensor in group]
    if not readings:
        raise LookupError("no sensor")
    return max(readings)


def _battery() -> Battery | None:
    found = _or_none(psutil.sensors_battery) if hasattr(psutil, "sensors_battery") else None
    if found is None:
        return None
    return Battery(percent=float(found.percent), plugged=bool(found.power_plugged), source="psutil")


def _figure(read: Callable[[], float], source: str) -> Figure | None:
    value = _or_none(read)
    return None if value is None else Figure(value=float(value), source=source)


def _or_none(read: Callable[[], T]) -> T | None:
    """What `read` says, or None where the platform has no such figure or will not tell."""
    try:
        return read()
    except (OSError, LookupError, AttributeError, NotImplementedError, RuntimeError, psutil.Error):
        return None
