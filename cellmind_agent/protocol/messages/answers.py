"""Models and answers: the checkpoints that a device holds, and what they say to a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request, value
from cellmind_agent.protocol.messages.endings import Done
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sampling import Sampling

# -- models ------------------------------------------------------------------------------------------------------------


@value
class ModelView:
    """One checkpoint. Its files are blobs, the same on every device that holds it."""

    model: RunId
    step: int
    tokens: int
    state_hash: str
    files: Mapping[str, BlobRef]
    tokenizer: BlobRef
    created: float  # seconds since 1970
    val_loss: float | None = None
    is_best: bool = False  # the weights with the lowest held-out loss of their run, without an optimiser's state
    held_out: HeldOutRecord = NO_EVALUATION


@message
class ModelList:
    models: tuple[ModelView, ...]


@request(asked_by="member", size="small")
class ListModels(Request[ModelList]):
    """List the checkpoints that you hold whole."""


@request(asked_by="member", size="small")
class KeepModel(Request[Done]):
    """Fetch this checkpoint from any device that holds it, and keep it."""

    model: ModelView


@request(asked_by="member", size="small")
class RemoveModel(Request[Done]):
    """Remove a model and the blobs that nothing else needs."""

    model: RunId


# -- answers -----------------------------------------------------------------------------------------------------------


@message
class AnswerStarted:
    """Which device answers, with which checkpoint."""

    device: DeviceId
    name: str
    model: RunId
    step: int


@message
class AnswerPiece:
    """The next piece of text, and the number of tokens so far."""

    text: str
    num_tokens: int


@message
class AnswerEnded:
    num_tokens: int
    seconds: float
    reason: Literal["end", "length"]


AnswerEvent: TypeAlias = AnswerStarted | AnswerPiece | AnswerEnded


@request(asked_by="member", size="large")
class Ask(StreamRequest[AnswerEvent]):
    """Have a prompt answered by `device`, or by the best device that holds the model."""

    prompt: str
    model: RunId | None = None
    device: DeviceId | None = None
    max_tokens: int = 200
    sampling: Sampling = Sampling()


@request(asked_by="member", size="large")
class Answer(StreamRequest[AnswerEvent]):
    """Answer a prompt yourself, and continue after `so_far`, which another device has already said."""

    model: ModelView
    prompt: str
    so_far: str
    max_tokens: int
    sampling: Sampling
