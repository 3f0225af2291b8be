"""The life of a run, as a pure state machine. A round is a transaction: it commits on every member of its roster, or
nothing has happened.

    Preparing -> Grouping -> Training -> Committing -> Training -> ... -> Ended
                    ^            |            |
                    +------------+------------+   (a member lost: the others form a new group, and do the round again)

The roster is keyed by device; its first device leads, and without it the run fails. A term is one process group: what
belongs to an older term counts for nothing. Round 0 has no steps: it commits the state that everybody starts from,
fresh or resumed, and so proves it equal. `transition` touches no socket, clock or process: it returns what should
happen, and the leader makes it happen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Literal, TypeAlias

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.run_life import (
    Action,
    Broken,
    Commit,
    Committed,
    Committing,
    Drop,
    End,
    Ended,
    FormGroup,
    Grouped,
    Grouping,
    Lost,
    OpenRound,
    Pace,
    Preparing,
    Ready,
    Record,
    RunEvent,
    RunLife,
    Standing,
    StopAsked,
    Trained,
    Training,
)
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import CHECKPOINT_SECONDS, MAX_BROKEN_GROUPS, ROUND_SECONDS
from cellmind_agent.protocol.messages import RoundTrained
from model.line.held_out import HeldOutRecord, after, served_loss
from model.line.sentence import Sentence

_Next: TypeAlias = tuple[RunLife, tuple[Action, ...]]


def begin(roster: tuple[DeviceId, ...], term: int, step: int, held_out: HeldOutRecord) -> Preparing:
    """A run before its members are ready. `term` is the one before its first process group."""
    standing = Standing(roster=roster, term=term, round=0, step=step, held_out=held_out)
    return Preparing(standing=standing, waiting=frozenset(roster))


def transition(life: RunLife, event: RunEvent, ledger: Ledger, pace: Pace) -> _Next:
    """Where `event` takes a run, and what must be done about it."""
    match life, event:
        case Ended(), _:
            return life, ()
        case _, Lost():
            return _lose(life, event, ledger, pace)
        case _, Broken():
            return _break(life, event)
        case Preparing(), StopAsked():
            return _end(life.standing, "stopped")
        case _, StopAsked():
            return replace(life, standing=replace(life.standing, is_stop_asked=True)), ()
        case Preparing(), Ready():
            rest = life.waiting - {event.device}
            return (replace(life, waiting=rest), ()) if rest else _group(life.standing)
        case Grouping(), Grouped():
            if event.term != life.standing.term:
                return life, ()
            rest = life.waiting - {event.device}
            return (replace(life, waiting=rest), ()) if rest else _open(life.standing, ledger, pace)
        case Training(), Trained():
            if event.term != life.standing.term or event.device not in life.standing.roster:
                return life, ()
            results = {**life.results, event.device: event.result}
            training = replace(life, results=results)
            return (training, ()) if len(results) < len(life.standing.roster) else _compare(training, ledger, pace)
        case Committing(), Committed() if event.round == life.standing.round - 1:
            rest = life.waiting - {event.device}
            committing = replace(life, waiting=rest)
            return (committing, ()) if rest else _after_commit(committing, ledger, pace)
        case _:  # an answer to what has been given up meanwhile
            return life, ()


def steps_for_round(seconds_per_step: float | None, round_number: int) -> int:
    """Steps that take about ROUND_SECONDS; the first round is short, since nothing has been measured."""
    if seconds_per_step is None or seconds_per_step <= 0 or round_number <= 1:
        return 2
    return max(1, min(1000, round(ROUND_SECONDS / seconds_per_step)))


# -- who takes part ----------------------------------------------------------------------------------------------------


def _lose(life: Preparing | Grouping | Training | Committing, event: Lost, ledger: Ledger, pace: Pace) -> _Next:
    """The others go on without the device: with the same round, unless all of them have trained it."""
    standing = life.standing
    if event.device not in standing.roster:
        return life, ()
    drop = Drop(device=event.device, why=event.why)
    if event.device == standing.roster[0]:
        ended, actions = _end(standing, "failed", event.why)
        return ended, (drop, *actions)
    rest = replace(standing, roster=tuple(device for device in standing.roster if device != event.device))
    match life:
        case Preparing() | Committing():
            smaller = replace(life, standing=rest, waiting=life.waiting - {event.device})
            if isinstance(smaller, Committing):
                smaller = replace(smaller, needs_group=True)
            if smaller.waiting:
                return smaller, (drop,)
            following = _group(rest) if isinstance(smaller, Preparing) else _after_commit(smaller, ledger, pace)
        case Grouping() | Training():
            following = _group(rest)
    return following[0], (drop, *following[1])


def _break(life: Preparing | Grouping | Training | Committing, event: Broken) -> _Next:
    """The same members try again, MAX_BROKEN_GROUPS times at most."""
    if event.term != life.standing.term or isinstance(life, Preparing):
        return life, ()
    if isinstance(life, Committing):
        return replace(life, needs_group=True), ()
    standing = replace(life.standing, num_broken=life.standing.num_broken + 1)
    if standing.num_broken >= MAX_BROKEN_GROUPS:
        why = Sentence(
            "the members lost each other {count} times in a row: {why}", count=standing.num_broken, why=event.why
        )
        return _end(standing, "failed", why)
    return _group(standing)


def _group(standing: Standing) -> _Next:
    standing = replace(standing, term=standing.term + 1)
    action = FormGroup(roster=standing.roster, term=standing.term, step=standing.step)
    return Grouping(standing=standing, waiting=frozenset(standing.roster)), (action,)


# -- rounds ------------------------------------------------------------------------------------------------------------


def _open(standing: Standing, ledger: Ledger, pace: Pace) -> _Next:
    """The held-out loss is evaluated at the start, at fixed steps and at the end: never by a clock, so that a second
    run with the same seed stops at the same step."""
    to_evaluation = ledger.steps_to_evaluation(standing.step)
    steps = min(steps_for_round(pace.seconds_per_step, standing.round), to_evaluation)
    if standing.round == 0 or standing.is_stop_asked:  # after a stop one round without steps evaluates what was trained
        steps = 0
    is_evaluated = steps in (0, to_evaluation)
    action = OpenRound(
        roster=standing.roster,
        term=standing.term,
        round=standing.round,
        step=standing.step,
        num_steps=steps,
        is_evaluated=is_evaluated,
    )
    return Training(standing=standing, num_steps=steps, is_evaluated=is_evaluated), (action,)


def _compare(training: Training, ledger: Ledger, pace: Pace) -> _Next:
    """I3: after a committed round all members' weights hash the same. A minority whose weights differ is dropped."""
    standing, results = training.standing, training.results
    leader = standing.roster[0]
    hashes = Counter(result.state_hash for result in results.values())
    state = results[leader].state_hash
    odd = tuple(device for device in standing.roster if results[device].state_hash != state)
    why = Sentence("its weights differed after round {round}", round=standing.round)
    if odd and 2 * hashes[state] <= len(standing.roster):
        text = "after round {round} the weights of the members differ, and no majority agrees with the leader"
        return _end(standing, "failed", Sentence(text, round=standing.round))
    committing, commit = _commit(training, ledger, pace)
    drops = tuple(Drop(device=device, why=why) for device in odd)
    return (replace(committing, needs_group=True) if odd else committing), (*drops, commit)


def _commit(training: Training, ledger: Ledger, pace: Pace) -> tuple[Committing, Commit]:
    standing, result = training.standing, training.results[training.standing.roster[0]]
    roster = tuple(d for d in standing.roster if training.results[d].state_hash == result.state_hash)
    step = standing.step + training.num_steps
    held_out, is_best = _note(training, result)
    is_over = step >= ledger.total_steps or 0 < ledger.patience <= held_out.num_worse
    is_last = is_over or (standing.is_stop_asked and training.is_evaluated and standing.round > 0)
    after_it = replace(standing, roster=roster, round=standing.round + 1, step=step, held_out=held_out, num_broken=0)
    commit = Commit(
        roster=roster,
        term=standing.term,
        round=standing.round,
        step=step,
        is_checkpoint=standing.round > 0 and (is_last or _is_checkpoint_due(pace)),
        result=result,
        is_best=is_best,
        held_out=held_out,
    )
    return Committing(standing=after_it, waiting=frozenset(roster), is_last=is_last), commit


def _after_commit(committing: Committing, ledger: Ledger, pace: Pace) -> _Next:
    """The end of the run, or its next round."""
    standing = committing.standing
    if committing.is_last:
        is_early = standing.step < ledger.total_steps and not standing.is_stop_asked
        following = _end(standing, "stopped" if standing.is_stop_asked else "finished", is_early=is_early)
    else:
        following = _group(standing) if committing.needs_group else _open(standing, ledger, pace)
    return following[0], (Record(roster=standing.roster), *following[1])


def _is_checkpoint_due(pace: Pace) -> bool:
    return pace.seconds_since_checkpoint is None or pace.seconds_since_checkpoint >= CHECKPOINT_SECONDS


def _note(training: Training, result: RoundTrained) -> tuple[HeldOutRecord, bool]:
    """The record after the round, and whether its evaluation is the best so far.

    A resumed run evaluates its checkpoint once more, which is nothing new.
    """
    held_out = training.standing.held_out
    loss = served_loss(result.val_loss, result.average_val_loss)
    is_resumed = training.standing.round == 0 and held_out.best_loss is not None
    if loss is None or is_resumed:
        return held_out, False
    record = after(held_out, training.standing.step + training.num_steps, loss)
    return record, record.num_worse == 0


def _end(
    standing: Standing,
    cause: Literal["finished", "stopped", "failed"],
    why: Sentence | None = None,
    is_early: bool = False,
) -> _Next:
    return Ended(cause=cause, why=why), (End(roster=standing.roster, cause=cause, why=why, is_early=is_early),)
