"""An exponential moving average of the weights (Polyak & Juditsky 1992; Izmailov et al. 2018).

While the learning rate is high, the average has a lower held-out loss than the live weights: a run that is stopped
before its cool-down still yields a good model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_DECAY = 0.95  # about the last 20 steps


class WeightAverage:
    """The average of a model's parameters, one tensor for each."""

    def __init__(self, model: nn.Module) -> None:
        named = dict(model.named_parameters())
        self._names = list(named)
        self._live: list[Tensor] = list(named.values())
        self._average = [parameter.detach().clone() for parameter in self._live]

    @torch.no_grad()
    def restart(self) -> None:
        """Begin again at the present weights, for instance after a checkpoint was loaded."""
        torch._foreach_copy_(self._average, self._live)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (from 0). Early steps count less than in a plain average of decay 0.95."""
        decay = min(_DECAY, (step + 1) / (step + 10))
        torch._foreach_lerp_(self._average, self._live, 1 - decay)

    @torch.no_grad()
    def update_after_round(self) -> None:
        """Take in the weights after a local round, half of what is new. All processors round it alike."""
        for average, live in zip(self._average, self._live, strict=True):
            average.add_((live - average) * 0.5)

    @contextmanager
    def in_place_of_live(self) -> Iterator[None]:
        """The model computes with the averaged weights inside the context, and with the live ones after it."""
        live = [parameter.detach().clone() for parameter in self._live]
        with torch.no_grad():
            torch._foreach_copy_(self._live, self._average)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._live, live)

    def weights(self) -> dict[str, Tensor]:
        """The average by the names of the parameters, as a model's state dict has them. Not copied."""
        return dict(zip(self._names, self._average, strict=True))

    def state_tensors(self) -> dict[str, Tensor]:
        """The average by `PARAMETER.average`. Not copied."""
        return {f"{name}.average": average for name, average in self.weights().items()}
