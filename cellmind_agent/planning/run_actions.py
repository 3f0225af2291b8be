"""What the leader of a run must do after something has happened (`run_life`), and the times that `rounds` goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cellmind_agent.planning.ranges import Range
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import LastCommit, RoundTrained
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopt:
    """Lead on from this commit, which another leader made."""

    last: LastCommit


@dataclass(frozen=True, slots=True, kw_only=True)
class FormGroup:
    """The members join a process group, with the state after `step` steps, which the holders send to the others; in a
    local round each keeps what it has done since then."""

    roster: tuple[DeviceId, ...]
    term: int
    step: int
    state_hash: str
    holders: frozenset[DeviceId]
    keeps_steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    roster: tuple[DeviceId, ...]
    term: int
    round: int
    step: int
    num_steps: int
    is_evaluated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRound(_Round):
    """A round begins. The members take its steps together, if it `is_together`."""

    is_together: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A member takes these steps of a local round."""

    device: DeviceId
    term: int
    round: int
    round_step: int  # steps before the round
    num_steps: int  # of the round
    steps: Range


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBack:
    """A member ends what it was dealt from `first_step` on after its present step, since others wait; or `at_once`,
    because they have waited for long."""

    device: DeviceId
    term: int
    first_step: int
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAgain:
    """Members wait for others: say Looked after so many seconds."""

    term: int
    round: int
    num_answers: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Average(_Round):
    """All steps of a local round are taken: the members average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    roster: tuple[DeviceId, ...]
    term: int
    round: int
    step: int
    is_checkpoint: bool
    result: RoundTrained
    is_best: bool = False  # the weights that were evaluated are the best so far
    held_out: HeldOutRecord = NO_EVALUATION
    taken: Mapping[DeviceId, tuple[Range, ...]] = field(default_factory=dict)  # in a local round: who took which steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The round that was being committed counts: these members have committed it."""

    roster: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Ask each of these members whether it still takes part."""

    roster: tuple[DeviceId, ...]
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandBy:
    """Give the others a moment to come back: then StillAlone of this term."""

    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """This device takes part no longer."""

    device: DeviceId
    why: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """These members lead on: `leader`, or else the first of them that can. The state of this device is kept aside if
    `leader` does not know it."""

    roster: tuple[DeviceId, ...]
    why: Sentence
    leader: DeviceId | None = None
    state_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    roster: tuple[DeviceId, ...]
    cause: Literal["finished", "stopped", "failed"]
    why: Sentence | None = None
    is_early: bool = False  # finished before all steps, because the held-out loss rose


Action: TypeAlias = (
    Adopt
    | FormGroup
    | OpenRound
    | Deal
    | CallBack
    | LookAgain
    | Average
    | Commit
    | Record
    | Question
    | StandBy
    | Drop
    | HandOver
    | End
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times that the leader measures, passed in because the state machine has no clock."""

    round_seconds: float  # without the exchange at its end
    seconds_per_step: float | None = None
    first_steps: int = 2  # of a round before anything was measured
    seconds_since_checkpoint: float | None = None  # None: there is none yet
    speeds: Mapping[DeviceId, float | None] = field(default_factory=dict)  # tokens a second; None: not known
