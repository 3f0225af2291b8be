"""The states of a run, what can happen to it, and what its leader must do about it. `rounds` connects the three."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RoundTrained
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence

# -- states ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands between two commits: who takes part, and what was committed last."""

    roster: tuple[DeviceId, ...]
    term: int
    round: int  # the next one, or the one under way
    step: int  # steps committed so far
    held_out: HeldOutRecord = NO_EVALUATION
    is_stop_asked: bool = False
    num_broken: int = 0  # groups that broke since the last commit, though no member was lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    standing: Standing
    waiting: frozenset[DeviceId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    standing: Standing
    waiting: frozenset[DeviceId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    standing: Standing
    num_steps: int
    is_evaluated: bool = False
    results: Mapping[DeviceId, RoundTrained] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Committing:
    """`standing` is what holds once all members have committed."""

    standing: Standing
    waiting: frozenset[DeviceId]
    is_last: bool
    needs_group: bool = False  # a member was lost meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    cause: Literal["finished", "stopped", "failed"]
    why: Sentence | None = None


RunLife: TypeAlias = Preparing | Grouping | Training | Committing | Ended


# -- what happens ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    device: DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    device: DeviceId
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    device: DeviceId
    term: int
    result: RoundTrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    device: DeviceId
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    device: DeviceId
    why: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The process group of this term does not work any more, and after some time nobody is known to be lost."""

    term: int
    why: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    pass


RunEvent: TypeAlias = Ready | Grouped | Trained | Committed | Lost | Broken | StopAsked


# -- what must be done -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FormGroup:
    """The members join a process group, with the state after `step` steps."""

    roster: tuple[DeviceId, ...]
    term: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRound:
    roster: tuple[DeviceId, ...]
    term: int
    round: int
    step: int
    num_steps: int
    is_evaluated: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The round that was being committed counts: these members have committed it."""

    roster: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """This device takes part no longer."""

    device: DeviceId
    why: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    roster: tuple[DeviceId, ...]
    cause: Literal["finished", "stopped", "failed"]
    why: Sentence | None = None
    is_early: bool = False  # finished before all steps, because the held-out loss rose


Action: TypeAlias = FormGroup | OpenRound | Commit | Record | Drop | End


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times that the leader measures, passed in because the state machine has no clock."""

    seconds_per_step: float | None = None
    seconds_since_checkpoint: float | None = None  # None: there is none yet
