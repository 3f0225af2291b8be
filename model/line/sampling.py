"""How the next token is drawn: one value from the command line to the sampler."""

from __future__ import annotations

from model.line.declare import line_value


@line_value
class Sampling:
    """`temperature` 0 takes the most likely token; `top_k` 0 and `top_p` 1 exclude nothing.

    The same seed gives the same answer, on any device. Raises ValueError for values outside these ranges.
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        is_valid = 0 <= self.temperature < float("inf") and self.top_k >= 0 and 0 < self.top_p <= 1
        if not is_valid:
            raise ValueError(f"temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}")
