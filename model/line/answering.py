"""Between an agent and its answering process: the agent calls, pieces of text come as events."""

from __future__ import annotations

from typing import Literal

from model.line.checkpoint import CheckpointPaths
from model.line.declare import Call, Done, Event, line_message
from model.line.sampling import Sampling


@line_message
class LoadModel(Call[Done]):
    """Load a checkpoint and its tokenizer. Paths are of this device."""

    checkpoint: CheckpointPaths
    tokenizer: str


@line_message
class TextGenerated:
    """The answer ended: at the model's own end of text, or at `max_tokens`."""

    num_tokens: int
    seconds: float
    reason: Literal["end", "length"]


@line_message
class GenerateText(Call[TextGenerated]):
    """Continue `prompt` after `so_far`, which another device may have generated."""

    prompt: str
    so_far: str
    max_tokens: int
    sampling: Sampling


@line_message
class TextPiece(Event):
    """The next part of the answer, and how many tokens it has so far."""

    text: str
    num_tokens: int
