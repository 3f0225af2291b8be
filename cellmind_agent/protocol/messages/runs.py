"""Runs, as users see them: starting, stopping, listing and watching one."""

from __future__ import annotations

from typing import Literal, TypeAlias

from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import BackendName, DeviceId, RunId, check_backend_name, check_work_name
from cellmind_agent.protocol.limits import ROUND_SECONDS
from cellmind_agent.protocol.messages.answers import ModelView
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request, value
from cellmind_agent.protocol.messages.endings import Done
from cellmind_agent.protocol.messages.measuring import RunForecast
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence

RunState = Literal["preparing", "training", "finished", "stopped", "failed"]
RunMode = Literal["ddp", "local"]  # how the members train together: each step, or each for itself between two averages


@value
class RosterMember:
    device: DeviceId
    name: str
    host: str = ""  # as in Vitals: members on one machine share its processors
    tokens_per_second: float | None = None


@value
class RunSpec:
    """What defines a run from its first round to its last: data and model, but no members, which belong to a round.

    Agents read the counts, trainers the blobs.
    """

    run: RunId
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
    created: float = 0.0  # seconds since 1970
    devices: tuple[DeviceId, ...] = ()  # only these may take part; empty: every device of the cell that can train
    left_out: tuple[DeviceId, ...] = ()  # but for these, which would not help
    backend: str = "auto"  # what the person chose: the name of a process group, or `auto`
    round_seconds: float = ROUND_SECONDS  # about as long is a round
    mode: RunMode = "ddp"
    work: str = ""  # names what a step computes: by it devices remember how fast they are
    center: DeviceId | None = None  # in local rounds it averages for all, while it takes part; None: each does a part
    forecast: RunForecast | None = None

    def __post_init__(self) -> None:
        check_work_name(self.work)


@value
class Term:
    """One leadership of a run. Of two terms the larger number counts, then the larger id; each leads with its own."""

    number: int
    leader: DeviceId


@value
class LastCommit:
    """The last committed round of a run. Every member has it on its disk before the round counts."""

    term: Term
    round: int
    step: int
    tokens: int
    state_hash: str
    roster: tuple[RosterMember, ...]
    held_out: HeldOutRecord = NO_EVALUATION
    val_loss: float | None = None


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
    term: int = 0


# -- starting and stopping ---------------------------------------------------------------------------------------------


@request(asked_by="member", size="large")
class StartRun(Request[Done]):
    """Lead this run, with this roster in its first round, of which the answerer must be the first.

    `start` is the checkpoint from which the run goes on, or whose weights it begins with. `newest_term` is that of the
    run so far, 0 for a new one.
    """

    spec: RunSpec
    roster: tuple[RosterMember, ...]
    backend: BackendName
    start: ModelView | None = None
    newest_term: int = 0

    def __post_init__(self) -> None:
        check_backend_name(self.backend)


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


# -- watching ----------------------------------------------------------------------------------------------------------


@value
class MemberProgress:
    """One member's part of a round. `share` is its samples of each batch. In a local round `steps` are the run's steps
    that it took, as ranges [start, stop), and `share` is how many they are."""

    name: str
    tokens: int
    tokens_per_second: float
    idle_fraction: float
    share: int
    steps: tuple[tuple[int, int], ...] = ()


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
    """Every member holds the same weights, `state_hash`, and the steps from `first_step` to `step` count."""

    run: RunId
    round: int
    first_step: int
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
    term: int = 0


@message
class MemberJoined:
    """A member is ready to train, for the first time or again; `tuning` says how it computes."""

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
class LeaderChanged:
    """Another member leads the run now, in a new term, and why."""

    run: RunId
    name: str
    leader: DeviceId
    term: int
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
    MemberJoined
    | RoundStarted
    | Progressed
    | RoundCommitted
    | CheckpointSaved
    | MemberLost
    | LeaderChanged
    | RunFinished
    | RunFailed
)


@request(asked_by="member", size="small")
class WatchRun(StreamRequest[RunEvent]):
    """Send the events of a run that you lead: those so far, then each new one until it ends."""

    run: RunId
