"""The life of a run, as a pure state machine. A round is a transaction: it commits on every member, or the run fails.

    Preparing -> Training -> Committing -> Training -> ... -> Ended
        |           |            |                              ^
        +-----------+------------+------------------------------+   (a member lost, weights that differ, a stop)

Round 0 has no steps: it commits the state that everybody starts from, fresh or resumed, and so proves it equal.
`transition` touches no socket, clock or process: it returns what should happen, and the leader makes it happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.protocol.limits import CHECKPOINT_SECONDS, ROUND_SECONDS
from cellmind_agent.protocol.messages import RoundTrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    waiting: frozenset[int]
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    round: int
    step: int
    num_steps: int
    results: Mapping[int, RoundTrained] = field(default_factory=dict)
    is_stop_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Committing:
    round: int
    step: int
    waiting: frozenset[int]
    is_last: bool
    is_stop_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    cause: Literal["finished", "stopped", "failed"]
    why: str | None = None


RunLife: TypeAlias = Preparing | Training | Committing | Ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    rank: int
    result: RoundTrained


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    rank: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked:
    pass


RunEvent: TypeAlias = Ready | Trained | Committed | Lost | StopAsked


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRound:
    round: int
    step: int
    num_steps: int
    is_evaluated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    round: int
    step: int
    is_checkpoint: bool
    result: RoundTrained


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    cause: Literal["finished", "stopped", "failed"]
    why: str | None = None


Action: TypeAlias = OpenRound | Commit | End


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times that the leader measures, passed in because the state machine has no clock."""

    seconds_per_step: float | None = None
    seconds_since_checkpoint: float | None = None  # None: there is none yet


def transition(
    life: RunLife, event: RunEvent, ledger: Ledger, size: int, pace: Pace
) -> tuple[RunLife, tuple[Action, ...]]:
    """Where `event` takes a run of `size` members, and what must be done about it."""
    match life, event:
        case Ended(), _:
            return life, ()
        case _, Lost(why=why):
            return _end("failed", why)
        case Preparing(waiting=waiting, step=step), Ready(rank=rank):
            rest = waiting - {rank}
            return (replace(life, waiting=rest), ()) if rest else _open(0, step, 0, ledger, pace)
        case Preparing(), StopAsked():
            return _end("stopped")
        case Training() as training, Trained(rank=rank, result=result):
            results = {**training.results, rank: result}
            if len(results) < size:
                return replace(training, results=results), ()
            return _compare(training, results, ledger, pace)
        case Training(), StopAsked():
            return replace(life, is_stop_asked=True), ()
        case Committing() as committing, Committed(rank=rank):
            rest = committing.waiting - {rank}
            if rest:
                return replace(committing, waiting=rest), ()
            if committing.is_last:
                return _end("stopped" if committing.is_stop_asked else "finished")
            steps = steps_for_round(pace.seconds_per_step, committing.round + 1)
            steps = min(steps, ledger.total_steps - committing.step)
            return _open(committing.round + 1, committing.step, steps, ledger, pace)
        case Committing(), StopAsked():  # this round still commits, and no other one opens
            return replace(life, is_stop_asked=True, is_last=True), ()
    return _end("failed", f"a member said {type(event).__name__} while the run was {type(life).__name__.lower()}")


def steps_for_round(seconds_per_step: float | None, round_number: int) -> int:
    """Steps that take about ROUND_SECONDS; the first round is short, since nothing has been measured."""
    if seconds_per_step is None or seconds_per_step <= 0 or round_number <= 1:
        return 2
    return max(1, min(1000, round(ROUND_SECONDS / seconds_per_step)))


def _open(
    round_number: int, step: int, num_steps: int, ledger: Ledger, pace: Pace
) -> tuple[RunLife, tuple[Action, ...]]:
    """Held-out loss is measured at the start, at the end, and about as often as checkpoints are written."""
    is_last = step + num_steps >= ledger.total_steps
    is_evaluated = round_number == 0 or is_last or _is_checkpoint_due(pace, ahead_seconds=ROUND_SECONDS)
    life = Training(round=round_number, step=step, num_steps=num_steps)
    return life, (OpenRound(round=round_number, step=step, num_steps=num_steps, is_evaluated=is_evaluated),)


def _is_checkpoint_due(pace: Pace, ahead_seconds: float = 0.0) -> bool:
    since = pace.seconds_since_checkpoint
    return since is None or since + ahead_seconds >= CHECKPOINT_SECONDS


def _compare(
    training: Training, results: Mapping[int, RoundTrained], ledger: Ledger, pace: Pace
) -> tuple[RunLife, tuple[Action, ...]]:
    """I3: after a committed round all members' weights hash the same."""
    hashes = {rank: result.state_hash for rank, result in results.items()}
    odd = sorted(rank for rank, state in hashes.items() if state != hashes[0])
    if odd:
        return _end(
            "failed",
            f"after round {training.round} the weights of rank {', '.join(map(str, odd))} differ from rank 0's",
        )
    step = training.step + training.num_steps
    is_last = training.is_stop_asked or step >= ledger.total_steps
    committing = Committing(
        round=training.round,
        step=step,
        waiting=frozenset(results),
        is_last=is_last,
        is_stop_asked=training.is_stop_asked,
    )
    is_checkpoint = training.num_steps > 0 and (is_last or _is_checkpoint_due(pace))
    return committing, (Commit(round=training.round, step=step, is_checkpoint=is_checkpoint, result=results[0]),)


def _end(cause: Literal["finished", "stopped", "failed"], why: str | None = None) -> tuple[RunLife, tuple[Action, ...]]:
    return Ended(cause=cause, why=why), (End(cause=cause, why=why),)
