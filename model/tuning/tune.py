"""The tuning of a device for a run: remembered from an earlier run, or measured now."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from model.arithmetic.gpt import GPT
from model.config import Config
from model.device import choose_threads
from model.tuning.choice import Tuning
from model.tuning.memory import forget, recall, remember, tuning_key
from model.tuning.race import race
from model.tuning.turns import turn
from model.tuning.work import Work

_log = logging.getLogger(__name__)
_LONG_FLOP = 3e16  # ten minutes of a GPU that reaches 50 TFLOP/s, ten times what compiling takes


class Tuner:
    """Decides how the `devices` of one member compute, and sets its number of threads.

    `num_members` divide each of this member's `total_steps`, and `members_here` members share this machine. Tunings are
    remembered in the file at `path`.
    """

    def __init__(
        self,
        config: Config,
        vocab_size: int,
        devices: Sequence[torch.device],
        path: Path,
        total_steps: int = 0,
        num_members: int = 1,
        members_here: int = 1,
    ) -> None:
        self._config, self._vocab_size, self._devices, self._path = config, vocab_size, devices, path
        seq_len = config.training.dataset.seq_len
        own_rows = -(-config.training.batch_size // (num_members * len(devices)))
        width = config.model.d_model
        weights = 12 * config.model.num_layers * width**2 + vocab_size * width  # nearly
        flop = 6 * weights * total_steps * own_rows * seq_len
        self._work = Work(seq_len=seq_len, own_rows=own_rows, is_long=flop > _LONG_FLOP)
        self._max_threads = choose_threads(members_here)
        self._key = tuning_key(config, vocab_size, devices, self._work, self._max_threads)

    def tune(self) -> Tuning:
        """The remembered tuning, or a new one, which is remembered."""
        tuning = recall(self._path, self._key)
        if tuning is None:
            tuning = self._race()
            try:
                remember(self._path, self._key, tuning)
            except OSError as error:  # the next run measures again
                _log.warning("the tuning cannot be remembered: %s", error)
        return self._use(tuning)

    def tune_again(self) -> Tuning:
        """Measure again, because this device has become slow. Later runs measure again too: it may not last."""
        try:
            forget(self._path, self._key)
        except OSError as error:
            _log.warning("the old tuning cannot be forgotten: %s", error)
        return self._use(self._race())

    def _race(self) -> Tuning:
        with turn():
            model = GPT(self._config.model, self._vocab_size).to(self._devices[0])
            return race(model, self._work, self._max_threads)

    def _use(self, tuning: Tuning) -> Tuning:
        torch.set_num_threads(tuning.threads)
        return replace(tuning, further_devices=tuple(map(str, self._devices[1:])))
