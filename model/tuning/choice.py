"""What is tuned: precision, threads and rows at a time. Values only."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a device computes the steps of a run. `gain` compares it with float32 and all threads, 1.0 if nothing won."""

    is_bfloat16: bool
    threads: int
    micro_batch: int  # rows that are computed at once
    gain: float = 1.0
    tokens_per_second: float = 0.0  # of forward and backward passes, when it was measured

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision of activations and matrix products."""
        return torch.bfloat16 if self.is_bfloat16 else torch.float32

    def describe(self) -> str:
        """One line for people."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        rows = f"{self.micro_batch} row{'s' if self.micro_batch > 1 else ''} at a time"
        return f"{'bf16' if self.is_bfloat16 else 'fp32'}, {threads}, {rows}: {self.gain:.1f} x plain fp32"


PLAIN = Tuning(is_bfloat16=False, threads=1, micro_batch=8)  # what works everywhere, unmeasured
