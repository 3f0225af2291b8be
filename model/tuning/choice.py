"""What is tuned: precision, threads, rows at a time, compiling. Values only."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from model.line.sentence import Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a device computes the steps of a run. `gain` compares it with plain float32, 1.0 if nothing won."""

    is_bfloat16: bool
    threads: int
    micro_batch: int  # rows that are computed at once
    is_compiled: bool = False
    further_devices: tuple[str, ...] = ()  # accelerators beside the first, such as "cuda:1"
    gain: float = 1.0
    tokens_per_second: float = 0.0  # of forward and backward passes on the first device, when it was measured

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision of activations and matrix products."""
        return torch.bfloat16 if self.is_bfloat16 else torch.float32

    @property
    def num_devices(self) -> int:
        """The devices that share the rows."""
        return 1 + len(self.further_devices)

    def describe(self) -> Sentence:
        """One line for people."""
        return Sentence(
            "{precision}, {threads}, {rows} at a time{extras}: {gain} x plain fp32",
            precision="bf16" if self.is_bfloat16 else "fp32",
            threads=Sentence("{count} threads", count=self.threads) if self.threads > 1 else Sentence("1 thread"),
            rows=Sentence("{count} rows", count=self.micro_batch) if self.micro_batch > 1 else Sentence("1 row"),
            extras=self._extras(),
            gain=f"{self.gain:.1f}",
        )

    def _extras(self) -> Sentence:
        if not self.further_devices:
            return Sentence(", compiled" if self.is_compiled else "")
        text = ", compiled, {count} devices" if self.is_compiled else ", {count} devices"
        return Sentence(text, count=self.num_devices)


PLAIN = Tuning(is_bfloat16=False, threads=1, micro_batch=8)  # what works everywhere, unmeasured
