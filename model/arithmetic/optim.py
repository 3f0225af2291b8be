"""The optimiser of a run: Muon for the matrices inside the layers, fused AdamW for everything else.

Its state is a flat set of named tensors, whatever the optimiser: a checkpoint and a broadcast know no more than that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.arithmetic.muon import Muon
from model.config import TrainingConfig

_BETAS = (0.9, 0.95)
_EMBEDDING_RATE = 6.0  # times the rate of Muon's matrices; 2 and 4 learnt less, 8 the same (DECISIONS 42)


class Optimizer:
    """Updates the parameters of one model. `step` takes the learning rate, since the schedule belongs to the caller."""

    def __init__(self, model: nn.Module, config: TrainingConfig, dtype: torch.dtype = torch.float32) -> None:
        """`config.optimizer` is "muon", or "adamw" for all parameters. `dtype`: of Muon's orthogonalisation.

        Weight decay applies to the matrices inside the layers, not to embeddings and norms; with "adamw" to all
        matrices, as is usual.
        """
        parameters = dict(model.named_parameters())
        matrices = {name: parameter for name, parameter in parameters.items() if parameter.dim() == 2}
        inner = {name: matrix for name, matrix in matrices.items() if name.startswith("layers.")}
        self._parameters = parameters
        self._muon = Muon(inner, config.weight_decay, dtype) if config.optimizer == "muon" else None
        of_adamw = {name: parameter for name, parameter in parameters.items() if not self._muon or name not in inner}
        groups = [
            {
                "params": [of_adamw[name] for name in of_adamw if self._muon or name not in matrices],
                "weight_decay": 0.0,
            },
        ]
        if self._muon is None:
            groups.append({"params": list(matrices.values()), "weight_decay": config.weight_decay})
        self._adamw = torch.optim.AdamW(groups, lr=config.lr, betas=_BETAS, eps=1e-8, fused=True)
        self._names_of_adamw = tuple(of_adamw)

    def orthogonalise_in(self, dtype: torch.dtype) -> None:
        """From now on `dtype` is the precision of Muon's orthogonalisation."""
        if self._muon:
            self._muon.orthogonalise_in(dtype)

    def step(self, lr: float) -> None:
        """Apply the gradients of all parameters, and drop them."""
        for group in self._adamw.param_groups:
            group["lr"] = lr * _EMBEDDING_RATE if self._muon else lr
        if self._muon:
            self._muon.step(lr)
        self._adamw.step()
        for parameter in self._parameters.values():
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by `PARAMETER.KIND`, in the order of names. Not copied."""
        found = dict(self._muon.state_tensors()) if self._muon else {}
        for name in self._names_of_adamw:
            for kind, tensor in self._state_of(name).items():
                found[f"{name}.{kind}"] = tensor
        return dict(sorted(found.items()))

    def _state_of(self, name: str) -> dict[str, Tensor]:
        """AdamW's moments and step count of a parameter: zeros before the first step."""
        parameter = self._parameters[name]
        state: dict[str, Tensor] = self._adamw.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state
