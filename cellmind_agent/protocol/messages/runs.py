"""Runs, as users see them: starting, stopping, listing and watching one."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import BackendName, DeviceId, RunId, is_backend_name, printable
from cellmind_agent.protocol.messages.answers import ModelView
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request, value
from cellmind_agent.protocol.messages.endings import Done
from model.line.continuation import Continuation
from model.line.sentence import Sentence

RunState = Literal["preparing", "training", "finished", "stopped", "failed"]


@value
class RosterMember:
    device: DeviceId
    name: str
    host: str = ""  # as in Vitals: members on one machine share its processors
    tokens_per_second: float | None = None


@value
class RunSpec:
    """Everything that defines a run: the data, the model, the members. Agents read the counts, trainers the blobs."""

    run: RunId
    roster: tuple[RosterMember, ...]
    backend: BackendName
    backend_reason: Sentence
    config: BlobRef
    tokenizer: BlobRef
    manifest: BlobRef
    shards: tuple[BlobRef, ...]
    num_samples: int
    batch_samples: int
    epochs: int
    max_steps: int | None = None
    evaluate_every: int = 0  # steps; 0: only before the first step and after the last
    patience: int = 0  # evaluations in a row that are worse than the best end the run; 0: never
    resume_from: ModelView | None = None
    created: float = 0.0  # seconds since 1970

    def __post_init__(self) -> None:
        if not is_backend_name(self.backend):
            raise ValueError(f"{printable(self.backend, 60)!r} is not the name of a backend")


@value
class RunView:
    """How far a run is, as the answering device knows it."""

    run: RunId
    state: RunState
    roster: tuple[str, ...]
    leader: DeviceId
    step: int
    total_steps: int
    tokens: int
    created: float
    loss: float | None = None
    val_loss: float | None = None
    error: Sentence | None = None


# -- starting and stopping ---------------------------------------------------------------------------------------------


@request(asked_by="member", size="large")
class StartRun(Request[Done]):
    """Lead this run; the answerer must be the first of its roster."""

    spec: RunSpec


@request(asked_by="member", size="small")
class StopRun(Request[Done]):
    """Stop a run that you lead, after the round that is under way."""

    run: RunId


# -- listing -----------------------------------------------------------------------------------------------------------


@message
class RunList:
    runs: tuple[RunView, ...]


@request(asked_by="member", size="small")
class ListRuns(Request[RunList]):
    """List every run that you led or took part in."""


@message
class RunFound:
    spec: RunSpec
    view: RunView


@request(asked_by="member", size="small")
class GetRun(Request[RunFound]):
    """Send the specification of a run and how far it is."""

    run: RunId


# -- how a run went ----------------------------------------------------------------------------------------------------


@value
class Contribution:
    """What a member did for a run: the tokens that it trained on, in rounds that counted."""

    name: str
    tokens: int


@value
class Departure:
    """A member was lost after `step` steps of a run, and the others went on without it."""

    name: str
    step: int
    why: Sentence


@value
class CheckpointStory:
    """What the weights of a checkpoint wrote after the run's prompts, and their held-out loss (nats a token)."""

    step: int
    time: float  # seconds since 1970
    val_loss: float | None
    continuations: tuple[Continuation, ...]


@message
class RunStory:
    """What one device knows of how a run went, while it led it. `seconds` are those of all rounds."""

    run: RunId
    seconds: float
    contributions: tuple[Contribution, ...]
    checkpoints: tuple[CheckpointStory, ...]
    redone_tokens: int = 0  # of rounds that were trained again after a resume
    best_step: int | None = None
    best_val_loss: float | None = None
    departures: tuple[Departure, ...] = ()


@request(asked_by="member", size="small")
class GetRunStory(Request[RunStory]):
    """Send how a run went while you led it: who contributed what, and what the model wrote at its checkpoints."""

    run: RunId


# -- watching ----------------------------------------------------------------------------------------------------------


@value
class MemberProgress:
    """One member's part of a round. `share` is its samples of each batch."""

    name: str
    tokens: int
    tokens_per_second: float
    idle_fraction: float
    share: int


@message
class RoundStarted:
    run: RunId
    round: int
    step: int
    num_steps: int
    total_steps: int


@message
class Progressed:
    run: RunId
    round: int
    step: int
    total_steps: int
    tokens: int
    loss: float
    tokens_per_second: float
    members: tuple[MemberProgress, ...]
    wire_bytes: int
    eta_seconds: float | None = None


@message
class RoundCommitted:
    """Every member holds the same weights, `state_hash`, and the round counts."""

    run: RunId
    round: int
    step: int
    total_steps: int
    tokens: int
    loss: float | None
    tokens_per_second: float
    members: tuple[MemberProgress, ...]
    wire_bytes: int
    state_hash: str
    val_loss: float | None = None
    val_bits_per_byte: float | None = None
    average_val_loss: float | None = None


@message
class MemberJoined:
    """A member is ready to train; `tuning` says how it computes."""

    run: RunId
    name: str
    device_kind: str
    tuning: Sentence


@message
class CheckpointSaved:
    run: RunId
    step: int
    state_hash: str
    members: tuple[str, ...]


@message
class MemberLost:
    run: RunId
    name: str
    why: Sentence


@message
class RunFinished:
    run: RunId
    step: int
    tokens: int
    seconds: float
    stopped: bool
    val_loss: float | None = None
    early: bool = False  # the held-out loss rose
    best_step: int | None = None
    best_val_loss: float | None = None


@message
class RunFailed:
    run: RunId
    why: Sentence
    hint: Sentence


RunEvent: TypeAlias = (
    MemberJoined | RoundStarted | Progressed | RoundCommitted | CheckpointSaved | MemberLost | RunFinished | RunFailed
)


@request(asked_by="member", size="small")
class WatchRun(StreamRequest[RunEvent]):
    """Send the events of a run that you lead: those so far, then each new one until it ends."""

    run: RunId
