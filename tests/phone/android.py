"""Makes a Python behave as on an Android phone. The phone's environment imports it at every start, before all else.

It stands alone: a copy of it lies in the phone's environment. What it takes away is what Android takes away:
`/proc/stat`, gloo, and the packages for which there are no wheels. It is no model of anything that CellMind does.
"""

import builtins
import importlib.abc
import importlib.machinery
import io
import os
import platform
import socket
import sys
import sysconfig
from collections.abc import Sequence
from types import ModuleType
from typing import Any

DENIED_FILES = ("/proc/stat", "/proc/loadavg", "/proc/vmstat", "/sys/class/power_supply", "/sys/class/hwmon")
NO_WHEELS = ("sentencepiece", "safetensors", "matplotlib", "tensorboardX")


class _Missing(importlib.abc.MetaPathFinder):
    """No package of NO_WHEELS is installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name.partition(".")[0] in NO_WHEELS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _WithoutGloo(importlib.abc.MetaPathFinder):
    """torch is built with gloo, which cannot list network devices."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if name != "torch.distributed.distributed_c10d":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec
        assert spec.loader
        run = spec.loader.exec_module

        def run_without_gloo(module: ModuleType) -> None:
            run(module)
            module.ProcessGroupGloo.create_device = _no_device  # type: ignore[attr-defined]
            module.ProcessGroupGloo.create_default_device = _no_device  # type: ignore[attr-defined]

        spec.loader.exec_module = run_without_gloo  # type: ignore[method-assign]
        return spec


def _no_device(*_: object, **__: object) -> None:
    raise RuntimeError("cannot open /sys/bus/pci/devices: Permission denied")


def _guarded(real: Any) -> Any:
    """A function of a path that Android denies for some paths."""

    def guarded(path: Any, *words: Any, **options: Any) -> Any:
        if isinstance(path, str | os.PathLike) and str(os.fspath(path)).startswith(DENIED_FILES):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *words, **options)

    return guarded


def become_android() -> None:
    builtins.open = io.open = _guarded(open)
    os.listdir, os.scandir = _guarded(os.listdir), _guarded(os.scandir)
    os.getloadavg = lambda: (_ for _ in ()).throw(OSError("not on Android"))
    sys.meta_path[:0] = [_Missing(), _WithoutGloo()]
    try:
        import psutil  # the phone's psutil is patched by Termux; this one refuses a platform that it does not know
    except ImportError:  # not installed yet
        return
    assert psutil
    # A file of this name exists in each Python's library, and this library is one for Linux.
    os.environ["_PYTHON_SYSCONFIGDATA_NAME"] = sysconfig._get_sysconfigdata_name()
    sys.platform = "android"
    platform.system = lambda: "Android"
    socket.gethostname = lambda: "localhost"  # of every phone
    from cellmind_agent.protocol import limits

    limits.POWER_SECONDS = 1.0  # type: ignore[misc] # a test does not wait for a minute


become_android()
