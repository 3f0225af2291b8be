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
from model.line.held_out import NO_EVALUATION, HeldOutRecord, after, served_loss
from model.line.sentence import Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    waiting: frozenset[int]
    step: int
    held_out: HeldOutRecord = NO_EVALUATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    round: int
    step: int
    num_steps: int
    is_evaluated: bool = False
    held_out: HeldOutRecord = NO_EVALUATION  # before this round
    results: Mapping[int, RoundTrained] = field(default_factory=dict)
    is_stop_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Committing:
    round: int
    step: int
    waiting: frozenset[int]
    is_last: bool
    held_out: HeldOutRecord = NO_EVALUATION
    is_stop_asked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    cause: Literal["finished", "stopped", "failed"]
    why: Sentence | None = None


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
    why: Sentence


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
    is_best: bool = False  # the weights that were evaluated are the best so far
    held_out: HeldOutRecord = NO_EVALUATION


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    cause: Literal["finished", "stopped", "failed"]
    why: Sentence | None = None
    is_early: bool = False  # finished before all steps, because the held-out loss rose


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
        case Preparing() as preparing, Ready(rank=rank):
            rest = preparing.waiting - {rank}
            if rest:
                return replace(preparing, waiting=rest), ()
            return _open(0, preparing.step, 0, ledger, preparing.held_out)
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
            return _after_commit(committing, ledger, pace)
        case Committing(), StopAsked():
            return replace(life, is_stop_asked=True), ()
    what, phase = type(event).__name__, type(life).__name__.lower()
    return _end("failed", Sentence("a member said {what} while the run was {phase}", what=what, phase=phase))


def steps_for_round(seconds_per_step: float | None, round_number: int) -> int:
    """Steps that take about ROUND_SECONDS; the first round is short, since nothing has been measured."""
    if seconds_per_step is None or seconds_per_step <= 0 or round_number <= 1:
        return 2
    return max(1, min(1000, round(ROUND_SECONDS / seconds_per_step)))


def _after_commit(committing: Committing, ledger: Ledger, pace: Pace) -> tuple[RunLife, tuple[Action, ...]]:
    """The end of the run, or its next round."""
    if committing.is_last:
        is_early = committing.step < ledger.total_steps and not committing.is_stop_asked
        return _end("stopped" if committing.is_stop_asked else "finished", is_early=is_early)
    number, step = committing.round + 1, committing.step
    if committing.is_stop_asked:  # a last round without steps evaluates and saves what was trained
        return _open(number, step, 0, ledger, committing.held_out, is_stop_asked=True)
    steps = min(steps_for_round(pace.seconds_per_step, number), ledger.steps_to_evaluation(step))
    return _open(number, step, steps, ledger, committing.held_out)


def _open(
    round_number: int, step: int, num_steps: int, ledger: Ledger, held_out: HeldOutRecord, is_stop_asked: bool = False
) -> tuple[RunLife, tuple[Action, ...]]:
    """The held-out loss is evaluated at the start, at fixed steps and at the end: never by a clock, so that a second
    run with the same seed stops at the same step."""
    is_evaluated = round_number == 0 or is_stop_asked or num_steps == ledger.steps_to_evaluation(step)
    life = Training(
        round=round_number,
        step=step,
        num_steps=num_steps,
        is_evaluated=is_evaluated,
        held_out=held_out,
        is_stop_asked=is_stop_asked,
    )
    return life, (OpenRound(round=round_number, step=step, num_steps=num_steps, is_evaluated=is_evaluated),)


def _is_checkpoint_due(pace: Pace) -> bool:
    return pace.seconds_since_checkpoint is None or pace.seconds_since_checkpoint >= CHECKPOINT_SECONDS


def _note(training: Training, result: RoundTrained) -> tuple[HeldOutRecord, bool]:
    """The record after the round, and whether its evaluation is the best so far.

    A resumed run evaluates its checkpoint once more, which is nothing new.
    """
    loss = served_loss(result.val_loss, result.average_val_loss)
    is_resumed = training.round == 0 and training.held_out.best_loss is not None
    if loss is None or is_resumed:
        return training.held_out, False
    record = after(training.held_out, training.step + training.num_steps, loss)
    return record, record.num_worse == 0


def _compare(
    training: Training, results: Mapping[int, RoundTrained], ledger: Ledger, pace: Pace
) -> tuple[RunLife, tuple[Action, ...]]:
    """I3: after a committed round all members' weights hash the same."""
    hashes = {rank: result.state_hash for rank, result in results.items()}
    odd = sorted(rank for rank, state in hashes.items() if state != hashes[0])
    if odd:
        text = "after round {round} the weights of rank {ranks} differ from rank 0's"
        return _end("failed", Sentence(text, round=training.round, ranks=", ".join(map(str, odd))))
    step = training.step + training.num_steps
    held_out, is_best = _note(training, results[0])
    is_over = step >= ledger.total_steps or 0 < ledger.patience <= held_out.num_worse
    is_last = is_over or (training.is_stop_asked and training.is_evaluated and training.round > 0)
    committing = Committing(
        round=training.round,
        step=step,
        waiting=frozenset(results),
        is_last=is_last,
        held_out=held_out,
        is_stop_asked=training.is_stop_asked,
    )
    commit = Commit(
        round=training.round,
        step=step,
        is_checkpoint=training.round > 0 and (is_last or _is_checkpoint_due(pace)),
        result=results[0],
        is_best=is_best,
        held_out=held_out,
    )
    return committing, (commit,)


def _end(
    cause: Literal["finished", "stopped", "failed"], why: Sentence | None = None, is_early: bool = False
) -> tuple[RunLife, tuple[Action, ...]]:
    return Ended(cause=cause, why=why), (End(cause=cause, why=why, is_early=is_early),)
