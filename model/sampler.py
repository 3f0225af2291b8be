"""Answers from a model: one token after the other, with the keys and values of those before kept.

The randomness of each position follows from the seed and the position alone, so another device can go on in the middle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.gpt import GPT
from model.line.sampling import Sampling


@torch.inference_mode()
def generate(
    model: GPT, prompt: Sequence[int], context: int, end_id: int, forbidden: Sequence[int], sampling: Sampling
) -> Iterator[int]:
    """Token ids after `prompt`, until `end_id` (which is yielded) or for ever; `forbidden` ids never come.

    When the window of `context` positions is full, the older half is forgotten and the rest is read again.
    """
    model.eval()
    tokens = list(prompt)
    device = next(model.parameters()).device
    cache = model.new_cache()
    fresh = tokens[-context:]
    while True:
        if cache.length + len(fresh) > context:
            cache, fresh = model.new_cache(), tokens[-(context // 2) :]
        logits = model(torch.tensor([fresh], device=device), cache=cache)[0, -1].float()  # (V,)
        logits[list(forbidden)] = -torch.inf
        if len(tokens) == len(prompt):
            logits[end_id] = -torch.inf  # an answer is never nothing
        token = choose(logits.cpu(), sampling, len(tokens))
        yield token
        if token == end_id:
            return
        tokens.append(token)
        fresh = [token]


def choose(logits: Tensor, sampling: Sampling, position: int) -> int:
    """One id from logits (V,): top-k, then nucleus (Holtzman et al. 2020), then a draw."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)  # (V,)
    ordered, ids = probabilities.sort(descending=True, stable=True)
    if sampling.top_k:
        ordered[sampling.top_k :] = 0
    before = ordered.cumsum(0) - ordered
    ordered[before >= sampling.top_p * ordered.sum()] = 0
    generator = torch.Generator().manual_seed((sampling.seed * 1_000_003 + position) & 0x7FFFFFFFFFFFFFFF)
    return int(ids[torch.multinomial(ordered, 1, generator=generator)])
