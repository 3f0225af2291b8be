"""Rounds: what the leader of a run asks its members to do."""

from __future__ import annotations

from typing import TypeAlias

from cellmind_agent.protocol.ids import BackendName, DeviceId, RunId, check_backend_name
from cellmind_agent.protocol.messages.answers import ModelView
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request
from cellmind_agent.protocol.messages.endings import Done
from cellmind_agent.protocol.messages.runs import (
    LastCommit,
    MemberJoined,
    MemberLost,
    RosterMember,
    RoundCommitted,
    RunSpec,
    RunState,
    Term,
)
from model.line.sentence import Sentence

# -- taking part -------------------------------------------------------------------------------------------------------


@message
class MemberReady:
    """The blobs are here, the trainer has started, and can join a process group."""

    device_kind: str
    tuning: Sentence = Sentence("")  # how it computes, in one line for people
    held_states: tuple[str, ...] = ()  # the hashes of the weights to which its trainer can go back
    last: LastCommit | None = None  # the last one since its trainer started
    term: int = 0  # the highest that it knows


@message
class MemberProgressed:
    step: int
    loss: float
    tokens: int
    compute_tokens_per_second: float
    idle_fraction: float
    wire_bytes: int


@message
class MemberFailed:
    """The trainer has ended."""

    why: Sentence


MemberEvent: TypeAlias = MemberReady | MemberProgressed | MemberFailed


@request(asked_by="member", size="large")
class PrepareMember(StreamRequest[MemberEvent]):
    """Take part in the run that the asker leads in this term; the stream lasts as long as the device does.

    It fetches the blobs and starts its trainer. A device that takes part already, under a leader that is lost, keeps
    its trainer and follows the asker. Refused with `superseded` if it follows the leader of a higher term, or one that
    is still there. `roster` is the present one, with the answerer.
    """

    spec: RunSpec
    term: Term
    roster: tuple[RosterMember, ...]
    start: ModelView | None = None
    last: LastCommit | None = None  # of the run so far


@request(asked_by="member", size="large")
class FormGroup(Request[Done]):
    """Leave the process group of an older term, whatever happens in it, and join that of this term.

    `roster` are its ranks, of which the answerer is one. All go on from the state after `step` steps, whose weights
    have this hash, of the commit `last` if there was one. The trainers of `holders`, which are ranks, hold it, and send
    it to the others. Refused with `group_broken` if a rank does not come.
    """

    run: RunId
    term: int
    roster: tuple[RosterMember, ...]
    backend: BackendName
    step: int
    state_hash: str
    holders: tuple[int, ...]
    last: LastCommit | None = None
    keeps_steps: bool = False  # in a local round: every member keeps what it has done since that state

    def __post_init__(self) -> None:
        check_backend_name(self.backend)


@request(asked_by="member", size="small")
class QuestionMember(Request[Done]):
    """Say whether you and your trainer still take part: the process group of this term has broken."""

    run: RunId
    term: int


@request(asked_by="member", size="small")
class ReplaceLeader(Request[Done]):
    """I lead the run no longer: `leader` does, or else the next in the roster."""

    run: RunId
    why: Sentence
    leader: DeviceId | None = None


@request(asked_by="member", size="large")
class DismissMember(Request[Done]):
    """The run has ended like this: stop the trainer."""

    run: RunId
    state: RunState
    error: Sentence | None = None


# -- one round ---------------------------------------------------------------------------------------------------------


@message
class RoundTrained:
    """The hash of the weights after the round, which must be the same on all members, and the losses."""

    state_hash: str
    tokens: int
    loss: float | None
    val_loss: float | None = None
    val_bits_per_byte: float | None = None
    average_val_loss: float | None = None  # of the averaged weights
    exchange_seconds: float = 0.0  # after the last step of all, until all had the same weights


@request(asked_by="member", size="small")
class TrainRound(Request[RoundTrained]):
    """Train these steps with the other members of the term. `shares` are each rank's samples of a batch.

    Refused with `group_broken` if the process group fails.
    """

    run: RunId
    term: int
    round: int
    first_step: int
    num_steps: int
    shares: tuple[int, ...]
    evaluate: bool


@message
class StepsDone:
    """So many of the dealt steps are taken, the first ones. The rest is given back."""

    count: int
    tokens: int


@request(asked_by="member", size="small")
class DealSteps(Request[StepsDone]):
    """In a local round, take the steps from `first_step` to `stop` alone. The round has `num_steps` steps; before it
    `round_step` were committed.

    Refused with `group_broken` if the answerer is in no process group of this term any more.
    """

    run: RunId
    term: int
    round: int
    round_step: int
    num_steps: int
    first_step: int
    stop: int


@request(asked_by="member", size="small")
class CallBackSteps(Request[Done]):
    """Another member is free: end the steps that you were dealt from `first_step` on after the present one; with
    `at_once` in the middle of it, because others have waited for long, and then it is not taken.
    """

    run: RunId
    term: int
    first_step: int
    at_once: bool = False


@request(asked_by="member", size="small")
class AverageRound(Request[RoundTrained]):
    """All steps of a local round are taken: average what has changed with the other members of the term.

    Refused with `group_broken` if the process group fails.
    """

    run: RunId
    term: int
    round: int
    round_step: int
    num_steps: int
    evaluate: bool


@message
class MemberCommitted:
    """The checkpoint, and the best weights, if they were saved."""

    checkpoint: ModelView | None = None
    best: ModelView | None = None


@request(asked_by="member", size="large")
class CommitRound(Request[MemberCommitted]):
    """Record the round as committed. With `is_best` keep the evaluated weights, with `checkpoint` save everything.

    `last` and the events are on the disk before the answer: `joined` and `lost` are those since the last commit.
    """

    run: RunId
    last: LastCommit
    event: RoundCommitted
    joined: tuple[MemberJoined, ...]
    lost: tuple[MemberLost, ...]
    checkpoint: bool
    time: float  # by the leader's clock, so that the checkpoint is the same on every member
    is_best: bool = False


# -- two leaders -------------------------------------------------------------------------------------------------------


@message
class RunCompared:
    """Whether the answerer leads on. If not, it has given its leadership up."""

    leads_on: bool


@request(asked_by="member", size="small")
class CompareRun(Request[RunCompared]):
    """We both lead this run, since the cell was cut in two: compare my term and last commit with yours.

    The part of the cell that has committed more tokens goes on. Only the device with the smaller id asks.
    """

    run: RunId
    term: Term
    last: LastCommit | None = None


@message
class StateKnown:
    is_known: bool


@request(asked_by="member", size="small")
class HasState(Request[StateKnown]):
    """Say whether the state with this hash is part of the history of the run that you know."""

    run: RunId
    state_hash: str
