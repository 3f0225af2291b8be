"""Sampling: one token after the other, with the keys and values of earlier positions cached.

The random number of a position depends on the seed and the position alone, so another device can continue an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from model.arithmetic.gpt import GPT
from model.line.sampling import Sampling


@torch.inference_mode()
def generate(
    model: GPT,
    prompt: Sequence[int],
    context: int,
    end_id: int,
    forbidden: Sequence[int],
    sampling: Sampling,
    is_continued: bool = False,
) -> Iterator[int]:
    """Yield token ids after `prompt` up to and including `end_id`, which may never come.

    `forbidden` ids are never chosen. The first id is not `end_id`, unless the prompt already has the beginning of the
    answer (`is_continued`). When the window of `context` positions is full, the model forgets the older half and reads
    the newer half again.
    """
    model.eval()
    tokens = list(prompt)
    device = next(model.parameters()).device
    cache = model.new_cache()
    unread = tokens[-context:]
    while True:
        if cache.length + len(unread) > context:
            cache, unread = model.new_cache(), tokens[-(context // 2) :]
        logits = model(torch.tensor([unread], device=device), cache=cache)[0, -1].float()  # (V,)
        logits[list(forbidden)] = -torch.inf
        if len(tokens) == len(prompt) and not is_continued:
            logits[end_id] = -torch.inf  # an answer has at least one token
        token = choose(logits.cpu(), sampling, len(tokens))
        yield token
        if token == end_id:
            return
        tokens.append(token)
        unread = [token]


def choose(logits: Tensor, sampling: Sampling, position: int) -> int:
    """Draw one id from logits (V,): top-k, then nucleus sampling (Holtzman et al. 2020)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)  # (V,)
    sorted_probabilities, ids = probabilities.sort(descending=True, stable=True)  # (V,), (V,)
    if sampling.top_k:
        sorted_probabilities[sampling.top_k :] = 0
    likelier = sorted_probabilities.cumsum(0) - sorted_probabilities  # (V,): the mass of all likelier tokens
    sorted_probabilities[likelier >= sampling.top_p * sorted_probabilities.sum()] = 0
    generator = torch.Generator().manual_seed((sampling.seed * 1_000_003 + position) & 0x7FFFFFFFFFFFFFFF)
    return int(ids[torch.multinomial(sorted_probabilities, 1, generator=generator)])
