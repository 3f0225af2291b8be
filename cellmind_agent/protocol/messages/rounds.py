"""Rounds: what the leader of a run asks its members to do."""

from __future__ import annotations

from typing import TypeAlias

from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.messages.answers import ModelView
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request
from cellmind_agent.protocol.messages.endings import Done
from cellmind_agent.protocol.messages.runs import RosterMember, RunSpec, RunState
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence

# -- taking part -------------------------------------------------------------------------------------------------------


@message
class MemberReady:
    """The blobs are here, the trainer has started, and can join a process group."""

    device_kind: str
    tuning: Sentence = Sentence("")  # how it computes, in one line for people


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
    """Fetch the blobs and start the trainer; the stream lasts as long as the device takes part in the run."""

    spec: RunSpec


@request(asked_by="member", size="small")
class FormGroup(Request[Done]):
    """Leave the process group of an older term, whatever happens in it, and join that of this term.

    `roster` are its ranks, of which the answerer is one. Its trainer goes on from the state after `step` steps: its
    present one, or the one before the round that was under way. Refused with `group_broken` if a rank does not come.
    """

    run: RunId
    term: int
    roster: tuple[RosterMember, ...]
    step: int


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


@request(asked_by="member", size="small")
class TrainRound(Request[RoundTrained]):
    """Train these steps with the other members of the term; `shares` are the samples of a batch for each rank.

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
class MemberCommitted:
    """The checkpoint, and the best weights, if they were saved."""

    checkpoint: ModelView | None = None
    best: ModelView | None = None


@request(asked_by="member", size="small")
class CommitRound(Request[MemberCommitted]):
    """Record the round as committed. With `is_best` keep the evaluated weights, with `checkpoint` save everything."""

    run: RunId
    round: int
    step: int
    tokens: int
    checkpoint: bool
    time: float  # by the leader's clock, so that the checkpoint is the same on every member
    val_loss: float | None = None
    is_best: bool = False
    held_out: HeldOutRecord = NO_EVALUATION


# -- before a run ------------------------------------------------------------------------------------------------------


@message
class GlooProbed:
    """Why gloo does not work on the device; None if it works."""

    fault: Sentence | None = None


@request(asked_by="member", size="small")
class ProbeGloo(Request[GlooProbed]):
    """Try gloo in a process of its own, once for each version of torch."""
