"""The states of a run, and what can happen to it. `rounds` leads from one to the next, by `run_actions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cellmind_agent.planning.dealing import LocalWork
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import LastCommit, RoundTrained
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence

# -- states ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands between two commits: who takes part, and what was committed last."""

    roster: tuple[DeviceId, ...]  # its first device leads
    term: int
    newest_term: int = 0  # that a newcomer knows
    round: int  # the next one, or the one under way
    step: int  # steps committed so far
    state_hash: str = ""  # of the committed weights; empty before the first group
    holders: frozenset[DeviceId] = frozenset()  # their trainers can go back to the committed state
    newcomers: Mapping[DeviceId, tuple[str, ...]] = field(default_factory=dict)  # ready, with the states that they hold
    held_out: HeldOutRecord = NO_EVALUATION
    is_stop_asked: bool = False
    replaced: Replaced | None = None  # another device leads on, as soon as the round of this device alone is over
    is_cut_off: bool = False  # the last of the others fell silent, and did not leave
    num_broken: int = 0  # groups that broke since the last commit, though no member was lost
    work: LocalWork | None = None  # of the local round that is under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """The members of the first roster of this leader get ready."""

    standing: Standing
    waiting: frozenset[DeviceId]
    is_taken_over: bool  # from another leader
    ready: Mapping[DeviceId, Ready] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    standing: Standing
    waiting: frozenset[DeviceId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """In a local round (`standing.work`) each member takes the steps that it was dealt."""

    standing: Standing
    needs_group: bool = False  # a member was lost meanwhile: the others need another group for their average


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """All members take the steps of a round together; or they average what they did in a local round."""

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
class Suspecting:
    """The group has broken, and any member may be the cause. Those that still have to answer a question are `waiting`:
    each of them answers, or is lost."""

    standing: Standing
    waiting: frozenset[DeviceId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """All the others fell silent at once: perhaps it is this device that was asleep or cut off."""

    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """For this leader; the run goes on under another one if it was `replaced`."""

    cause: Literal["finished", "stopped", "failed", "replaced"]
    why: Sentence | None = None


RunLife: TypeAlias = Preparing | Grouping | Dealing | Training | Committing | Suspecting | Alone | Ended


# -- what happens ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A device is ready to join a group: a member of the first roster, or another one that will join them."""

    device: DeviceId
    held_states: tuple[str, ...] = ()
    last: LastCommit | None = None
    term: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    device: DeviceId
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """A member has taken the first `count` of the steps that it was dealt from `first_step` on, and no more; none, if
    it was cut in the middle of the first one."""

    device: DeviceId
    first_step: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """In a local round some members have waited for the others, since so many answers were there."""

    term: int
    round: int
    num_answers: int


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
    """`is_silent`: nothing was heard of the device for too long. Else it said so itself, or its connection closed."""

    device: DeviceId
    why: Sentence
    is_silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The process group of this term does not work any more."""

    term: int
    why: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A member that was suspected still takes part."""

    device: DeviceId
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StillAlone:
    """The time for the others to come back is over."""

    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """Another device leads the run: a member follows it, or its part of the cell has committed more."""

    why: Sentence
    leader: DeviceId | None = None


RunEvent: TypeAlias = (
    Ready | Grouped | Took | Looked | Trained | Committed | Lost | Broken | Answered | StillAlone | StopAsked | Replaced
)
