"""Remembers tunings in a small JSON file, by machine, torch version and shape of the work."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import torch

from model.config import Config
from model.tuning.choice import Tuning

_KEPT = 32  # the oldest are forgotten first


def tuning_key(config: Config, vocab_size: int, own_rows: int, max_threads: int) -> str:
    """What a tuning depends on, as one line."""
    model = config.model
    machine = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {max_threads} threads"
    shape = f"{model.d_model}x{model.num_layers} {model.nhead} heads, vocabulary {vocab_size}"
    return f"{machine}, torch {torch.__version__}, {shape}, {own_rows} rows of {config.training.dataset.seq_len}"


def recall(path: Path, key: str) -> Tuning | None:
    """The tuning that was remembered under `key`; None without one, and for a damaged file."""
    try:
        plain = _load(path)[key]
        return Tuning(
            is_bfloat16=bool(plain["is_bfloat16"]),
            threads=max(1, int(plain["threads"])),
            micro_batch=max(1, int(plain["micro_batch"])),
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
    newest = dict(list(known.items())[-_KEPT:])
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(newest, indent=1))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, dict[str, float]]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
