"""What is tuned: precision, threads, rows at a time, compiling. Values only."""

from __future__ import annotations

from dataclasses import dataclass

import torch


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

    def describe(self) -> str:
        """One line for people."""
        parts = [
            "bf16" if self.is_bfloat16 else "fp32",
            _counted(self.threads, "thread"),
            f"{_counted(self.micro_batch, 'row')} at a time",
        ]
        if self.is_compiled:
            parts.append("compiled")
        if self.further_devices:
            parts.append(f"{self.num_devices} devices")
        return f"{', '.join(parts)}: {self.gain:.1f} x plain fp32"


PLAIN = Tuning(is_bfloat16=False, threads=1, micro_batch=8)  # what works everywhere, unmeasured


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"
