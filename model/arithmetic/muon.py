"""Muon: momentum whose matrices are orthogonalised before they are applied (Jordan et al. 2024).

A step with learning rate `lr` changes a weight by about 0.2 * lr in the root mean square, whatever the shape of its
matrix, as AdamW's steps do (Moonlight, Liu et al. 2025). Weight decay acts only where it agrees with the step
("cautious", Liang et al. 2024).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

_MOMENTUM = 0.95
_STEP_RMS = 0.2  # AdamW's typical root mean square of a step, divided by its rate
# The first three quintics of Polar Express (Amsel et al. 2025), each divided by a safety factor of 1.02 for rounding.
_QUINTICS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
)
_NORM_MARGIN = 1.02  # the norm is rounded, and a singular value above 1 would grow


class Muon:
    """Muon for matrices of any shapes, with one momentum for each; those of one shape are orthogonalised together."""

    def __init__(self, parameters: Mapping[str, Tensor], weight_decay: float, dtype: torch.dtype) -> None:
        """`dtype` is the precision of the orthogonalisation."""
        self._weight_decay, self._dtype = weight_decay, dtype
        self._parameters = parameters
        self._momentum = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        by_shape: dict[torch.Size, list[str]] = defaultdict(list)
        for name, parameter in parameters.items():
            by_shape[parameter.shape].append(name)
        self._names_by_shape = by_shape

    def orthogonalise_in(self, dtype: torch.dtype) -> None:
        """From now on `dtype` is the precision of the orthogonalisation."""
        self._dtype = dtype

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradients."""
        for names in self._names_by_shape.values():
            parameters = [self._parameters[name] for name in names]
            gradients = [_gradient(parameter) for parameter in parameters]
            momenta = [self._momentum[name] for name in names]
            torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
            looking_ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)  # Nesterov
            updates = orthogonalise(
                torch.stack(looking_ahead).to(self._dtype)
            )  # (matrices of this shape, rows, columns)
            self._apply(parameters, updates, lr)

    def state_tensors(self) -> dict[str, Tensor]:
        """The momentum of each parameter, by `NAME.momentum`. They share memory with the optimiser."""
        return {f"{name}.momentum": momentum for name, momentum in self._momentum.items()}

    def _apply(self, parameters: list[Tensor], updates: Tensor, lr: float) -> None:
        rate = lr * _STEP_RMS * max(updates.shape[-2:]) ** 0.5
        for parameter, update in zip(parameters, updates, strict=True):
            if self._weight_decay:
                agrees = (update * parameter) > 0  # (rows, columns)
                parameter.sub_(parameter * agrees, alpha=lr * self._weight_decay)
            parameter.sub_(update, alpha=rate)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Each of the matrices (N, rows, columns) with all its singular values moved near 1, in the same dtype.

    Newton-Schulz iteration with the polynomials of Polar Express.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices
    norm = torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True, dtype=torch.float32)
    x = x / (norm * _NORM_MARGIN + 1e-7).to(x.dtype)
    for a, b, c in _QUINTICS:
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if is_tall else x


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "every matrix takes part in the forward pass"
    return parameter.grad
