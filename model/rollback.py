"""The state before a round, kept in memory: members go back to it when the round fails because one of them is gone."""

from __future__ import annotations

import torch
from torch import Tensor

from model.arithmetic.state import TrainingState
from model.evaluation import Losses


class KeptState:
    """A copy of a training state, and how far the run was. The next copy takes the same memory."""

    def __init__(self) -> None:
        self.step: int | None = None  # None: nothing is kept
        self._tensors: list[Tensor] = []
        self._tokens = 0
        self._losses: Losses = None, None

    @torch.no_grad()
    def keep(self, state: TrainingState, step: int, tokens: int, losses: Losses) -> None:
        """Copy the state after `step` steps, with the trained tokens and the losses of the last evaluation."""
        own = state.tensors()
        if not self._tensors:
            self._tensors = [torch.empty_like(tensor) for tensor in own]
        torch._foreach_copy_(self._tensors, own)
        self.step, self._tokens, self._losses = step, tokens, losses

    @torch.no_grad()
    def put_back(self, state: TrainingState) -> tuple[int, Losses]:
        """Give `state` the kept values, to the bit. Returns the tokens and losses of then."""
        torch._foreach_copy_(state.tensors(), self._tensors)
        return self._tokens, self._losses

    @torch.no_grad()
    def put_back_average(self, state: TrainingState) -> None:
        """Give `state` the averaged weights that were kept, and nothing else."""
        names = state.average.state_tensors().keys()
        for (name, tensor), kept in zip(state.named_tensors().items(), self._tensors, strict=True):
            if name in names:
                tensor.copy_(kept)

    def forget(self) -> None:
        """Keep nothing, and free the memory."""
        self.step, self._tensors = None, []
