"""Several accelerators in one device: each has a copy of the model, and computes a part of the device's rows.

The gradients of the copies add up on the first accelerator. So the device takes part in a run as one member, and its
gradient crosses the network once, however many accelerators it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from model.arithmetic.gpt import GPT


class Replicas:
    """The copies of `model` on further devices, with a thread for each. Without further devices it does nothing."""

    def __init__(self, model: GPT, devices: Sequence[torch.device]) -> None:
        self._model = model
        self._copies = [GPT(model.config, model.vocab_size).to(device) for device in devices]
        for copy in self._copies if model.is_compiled else ():
            copy.compile_layers()
        self._threads = ThreadPoolExecutor(max(1, len(devices)), thread_name_prefix="replica")

    def start(self, parts: Sequence[tuple[Tensor, Tensor]], factor: float) -> tuple[list[tuple[Tensor, Tensor]], Sums]:
        """Begin the backward passes of `factor` times the losses of `parts` (inputs and targets of some rows each).

        Returns the parts that are left to the model itself, and what the copies compute meanwhile.
        """
        num_devices = len(self._copies) + 1
        self._follow()
        sums = [
            self._threads.submit(_backward, copy, parts[number::num_devices], factor)
            for number, copy in enumerate(self._copies, 1)
        ]
        return list(parts[::num_devices]), sums

    @torch.no_grad()
    def finish(self, sums: Sums) -> Tensor:
        """Wait for the copies, add their gradients to the model's, and return the sum of their losses."""
        total = torch.zeros((), device=self._model.embed_tokens.weight.device)
        for copy, loss_sum in zip(self._copies, sums, strict=True):
            total += loss_sum.result().to(total.device)
            for own, other in zip(self._model.parameters(), copy.parameters(), strict=True):
                if other.grad is None:  # this copy had no rows
                    continue
                gradient = other.grad.to(own.device)
                own.grad = gradient if own.grad is None else own.grad.add_(gradient)
            copy.zero_grad(set_to_none=True)
        return total

    def close(self) -> None:
        """Wait for the threads, and end them."""
        self._threads.shutdown()

    @torch.no_grad()
    def _follow(self) -> None:
        """The copies take the weights of the model, and compute as it does."""
        for copy in self._copies:
            copy.train(self._model.training)
            copy.compute_dtype = self._model.compute_dtype
            for own, other in zip(self._model.parameters(), copy.parameters(), strict=True):
                other.copy_(own, non_blocking=True)


Sums = list[Future[Tensor]]


def _backward(model: GPT, parts: Sequence[tuple[Tensor, Tensor]], factor: float) -> Tensor:
    device = model.embed_tokens.weight.device
    total = torch.zeros((), device=device)
    for inputs, targets in parts:
        loss_sum = model(inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True))  # ()
        (loss_sum * factor).backward()
        total += loss_sum.detach()
    return total
