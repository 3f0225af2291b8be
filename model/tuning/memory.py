"""Remembers tunings in a small JSON file, by machine, torch version and shape of the work."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from model.config import Config
from model.tuning.choice import Tuning
from model.tuning.work import Work

_KEPT = 32  # the oldest are forgotten first


def tuning_key(config: Config, vocab_size: int, devices: Sequence[torch.device], work: Work, max_threads: int) -> str:
    """What a tuning depends on, as one line."""
    model = config.model
    machine = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {max_threads} threads"
    if devices[0].type != "cpu":
        machine += f" {' '.join(map(_device_name, devices))}{' in a long run' if work.is_long else ''}"
    shape = f"{model.d_model}x{model.num_layers} {model.nhead} heads, vocabulary {vocab_size}"
    return f"{machine}, torch {torch.__version__}, {shape}, {work.own_rows} rows of {work.seq_len}"


def recall(path: Path, key: str) -> Tuning | None:
    """The tuning that was remembered under `key`; None without one, and for a damaged file."""
    try:
        plain = _load(path)[key]
        return Tuning(
            is_bfloat16=bool(plain["is_bfloat16"]),
            threads=max(1, int(plain["threads"])),
            micro_batch=max(1, int(plain["micro_batch"])),
            is_compiled=bool(plain["is_compiled"]),
            gain=float(plain["gain"]),
            tokens_per_second=float(plain["tokens_per_second"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def remember(path: Path, key: str, tuning: Tuning) -> None:
    """Write the file whole, or not at all. Raises OSError."""
    known = _load(path)
    known.pop(key, None)
    known[key] = asdict(tuning)
    _write(path, dict(list(known.items())[-_KEPT:]))


def forget(path: Path, key: str) -> None:
    """Drop what was remembered under `key`. Raises OSError."""
    known = _load(path)
    if known.pop(key, None) is not None:
        _write(path, known)


def _write(path: Path, known: dict[str, dict[str, float]]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, dict[str, float]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
