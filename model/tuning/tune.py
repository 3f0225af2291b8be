"""The tuning of a device for a run: remembered from an earlier run, or measured now."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from model.arithmetic.gpt import GPT
from model.config import Config
from model.device import choose_threads
from model.tuning.choice import Tuning
from model.tuning.memory import recall, remember, tuning_key
from model.tuning.race import race

_log = logging.getLogger(__name__)
_ACCELERATOR_ROWS = 32  # at a time: an accelerator has the memory for them


def tune(
    config: Config, vocab_size: int, num_members: int, members_on_this_host: int, device: torch.device, path: Path
) -> Tuning:
    """Decide how `device` computes, and set its number of threads. Tunings are remembered in the file at `path`."""
    max_threads = choose_threads(members_on_this_host)
    if device.type != "cpu":
        return Tuning(is_bfloat16=_has_bfloat16(device), threads=max_threads, micro_batch=_ACCELERATOR_ROWS)
    own_rows = -(-config.training.batch_size // num_members)
    key = tuning_key(config, vocab_size, own_rows, max_threads)
    tuning = recall(path, key)
    if tuning is None:
        tuning = race(GPT(config.model, vocab_size), config.training.dataset.seq_len, own_rows, max_threads)
        try:
            remember(path, key, tuning)
        except OSError as error:  # the next run measures again
            _log.warning("the tuning cannot be remembered: %s", error)
    torch.set_num_threads(tuning.threads)
    return tuning


def _has_bfloat16(device: torch.device) -> bool:
    """Whether an accelerator multiplies bfloat16 in hardware."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
