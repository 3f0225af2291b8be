"""The learning rate over a run: warm-up, constant, cool-down (Hu et al. 2024, "WSD"; Hägele et al. 2024).

It is a function of the step alone: a resumed run and a member that joins late need no saved schedule. Until the
cool-down it does not depend on the end of the run.
"""

from __future__ import annotations

_COOL_DOWN_FRACTION = 0.4
_MAX_WARMUP_FRACTION = 0.1


def rate_factor(step: int, total_steps: int, warmup_steps: int) -> float:
    """The part of the peak rate at `step` (from 0): linear up, constant, linear to zero over the last 40 %.

    Warm-up takes at most a tenth of the run.
    """
    warmup = min(warmup_steps, int(total_steps * _MAX_WARMUP_FRACTION))
    cool_down = max(1, round(total_steps * _COOL_DOWN_FRACTION))
    return max(0.0, min(1.0, (step + 1) / (warmup + 1), (total_steps - step) / cool_down))
