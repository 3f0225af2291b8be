"""Judges weights on held-out rows, the same way for everybody: in float32, with the plain network, off the clock."""

import math
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tests.bench.plain_gpt import PlainGPT
from tests.bench.shards import IGNORED, Shape, read_rows, with_targets
from tests.bench.watched import report
from tokenizer.sharding.manifest import read_manifest

_ROWS_AT_ONCE = 16
_LEAST_INTERVAL_SECONDS = 3.0
_TRAINING_PER_JUDGING = 3.0  # judging may take a quarter of the benchmark's time, though none of the clock's


class Judge:
    """Knows the held-out rows of a manifest, and the network for them."""

    def __init__(self, manifest_path: Path, shape: Shape, num_rows: int | None = None) -> None:
        """`num_rows`: so many of the first held-out rows, for `nats_per_token` alone; None for all."""
        manifest = read_manifest(manifest_path)
        inputs, targets = with_targets(manifest, read_rows(manifest_path, held_out=True)[:num_rows])
        self._inputs, self._targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        self._utf8_bytes = manifest.held_out.utf8_bytes
        self._network = PlainGPT(shape)

    def bits_per_byte(self, weights: Mapping[str, Tensor]) -> float:
        """The loss of all held-out tokens, in bits a byte of UTF-8. `weights` may have a prefix that a wrapper adds."""
        return self._nats(weights) / math.log(2) / self._utf8_bytes

    def nats_per_token(self, weights: Mapping[str, Tensor]) -> float:
        """The mean loss of the held-out tokens."""
        return self._nats(weights) / int((self._targets != IGNORED).sum())

    @torch.no_grad()
    def _nats(self, weights: Mapping[str, Tensor]) -> float:
        names = self._network.state_dict().keys()
        self._network.load_state_dict({name: _named(weights, name) for name in names})
        self._network.eval()
        nats = 0.0
        for start in range(0, len(self._inputs), _ROWS_AT_ONCE):
            targets = self._targets[start : start + _ROWS_AT_ONCE]
            loss = self._network(self._inputs[start : start + _ROWS_AT_ONCE], targets)["loss"]
            nats += float(loss) * int((targets != IGNORED).sum())
        return nats


class Course:
    """The held-out loss of one run over its training time. The clock stands while it judges."""

    def __init__(self, judge: Judge, started: float, limit_seconds: float) -> None:
        """`started` is when the run's process started (`time.monotonic()`)."""
        self._judge, self._started, self._limit_seconds = judge, started, limit_seconds
        self._judging_seconds, self._interval, self._last = 0.0, _LEAST_INTERVAL_SECONDS, 0.0

    @property
    def seconds(self) -> float:
        """Training time so far: everything since the start, such as imports and compiling, but no judging."""
        return time.monotonic() - self._started - self._judging_seconds

    @property
    def is_due(self) -> bool:
        return self.seconds - self._last >= self._interval

    @property
    def is_over(self) -> bool:
        return self.seconds > self._limit_seconds

    def note(self, step: int, *weights: Mapping[str, Tensor]) -> float:
        """Judge the state after `step`, and report it. Of several weights the best ones count. Returns their loss."""
        self._last, began = self.seconds, time.monotonic()
        losses = [self._judge.bits_per_byte(some) for some in weights]
        report(seconds=self._last, step=step, bits=min(losses), all_bits=losses)
        took = time.monotonic() - began
        self.pause(took)
        self._interval = max(_LEAST_INTERVAL_SECONDS, _TRAINING_PER_JUDGING * took)
        return min(losses)

    def pause(self, seconds: float) -> None:
        """Leave so many seconds out of the clock."""
        self._judging_seconds += seconds


def _named(weights: Mapping[str, Tensor], name: str) -> Tensor:
    for prefix in ("", "_orig_mod.", "module."):
        if prefix + name in weights:
            return weights[prefix + name]
    raise KeyError(name)
