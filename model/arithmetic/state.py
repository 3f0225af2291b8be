"""Everything that changes while a model is trained, as one structure: a checkpoint holds it, and members share it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from model.arithmetic.average import WeightAverage
from model.arithmetic.gpt import GPT
from model.arithmetic.optim import Optimizer
from model.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A model, its optimiser and the average of its weights. All are changed in place."""

    model: GPT
    optimizer: Optimizer
    average: WeightAverage

    def tensors_beside_weights(self) -> dict[str, Tensor]:
        """The optimiser's state and the averaged weights, by name. Not copied."""
        return {**self.optimizer.state_tensors(), **self.average.state_tensors()}

    def named_tensors(self) -> dict[str, Tensor]:
        """Everything that training changes, by name, always in the same order. Not copied.

        The names, shapes and types follow from the configuration alone, also before the first step.
        """
        return {**self.model.state_dict(), **self.tensors_beside_weights()}

    def tensors(self) -> list[Tensor]:
        """Everything that training changes, in the order of `named_tensors`. Not copied."""
        return list(self.named_tensors().values())

    def load_beside_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the tensors that `tensors_beside_weights` returned for an equal configuration.

        Raises ValueError that names a tensor which is missing, superfluous, or of another shape.
        """
        own = self.tensors_beside_weights()
        for name in sorted(own.keys() | tensors.keys()):
            if name not in own or name not in tensors or own[name].shape != tensors[name].shape:
                raise ValueError(name)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])


def extremes(values: Tensor) -> Tensor:
    """The least and the greatest of one value or more (2,). They are finite if and only if all values are."""
    return torch.stack((values.amin(), values.amax()))


def state_hash(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 (hexadecimal) of all names and tensors, in the order of names. Equal on members in step."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def new_state(model: GPT, config: TrainingConfig, dtype: torch.dtype) -> TrainingState:
    """The state before the first step. `dtype` is the precision in which Muon orthogonalises."""
    return TrainingState(model, Optimizer(model, config, dtype), WeightAverage(model))
