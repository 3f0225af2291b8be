"""The life of a run, as a pure state machine. A round is a transaction: it commits on every member of its roster, or
nothing has happened.

    Preparing -> Grouping -> Training -> Committing -> Training -> ... -> Ended
                    ^            |            |
                    +------------+------------+   (the roster changes, or the group breaks: a new group)

The roster is keyed by device; its first device leads. A term is one process group: what belongs to an older term counts
for nothing. A device that joins or comes back, and one whose round is done again, are the same case: the next group has
another roster, and those that lack the committed state receive it there. Round 0 has no steps: it commits the state
that everybody starts from, fresh or resumed, and so proves it equal. `transition` touches no socket, clock or process:
it returns what should happen, and the leader makes it happen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TypeAlias

from cellmind_agent.planning.commits import commit_of, steps_for_round
from cellmind_agent.planning.endings import end, hand_over
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.run_life import (
    Action,
    Adopt,
    Alone,
    Answered,
    Broken,
    Committed,
    Committing,
    Drop,
    Ended,
    FormGroup,
    Grouped,
    Grouping,
    Lost,
    OpenRound,
    Pace,
    Preparing,
    Question,
    Ready,
    Record,
    Replaced,
    RunEvent,
    RunLife,
    StandBy,
    Standing,
    StillAlone,
    StopAsked,
    Suspecting,
    Trained,
    Training,
)
from cellmind_agent.planning.succession import commit_order
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_BROKEN_GROUPS
from model.line.held_out import HeldOutRecord
from model.line.sentence import Sentence

_Next: TypeAlias = tuple[RunLife, tuple[Action, ...]]
_Alive: TypeAlias = Preparing | Grouping | Training | Committing | Suspecting | Alone


def begin(
    roster: tuple[DeviceId, ...], term: int, step: int, held_out: HeldOutRecord, is_taken_over: bool = False
) -> Preparing:
    """A run before its members are ready. `term` is the one before its first process group."""
    standing = Standing(roster=roster, term=term, round=0, step=step, held_out=held_out)
    return Preparing(standing=standing, waiting=frozenset(roster), is_taken_over=is_taken_over)


def transition(life: RunLife, event: RunEvent, ledger: Ledger, pace: Pace) -> _Next:
    """Where `event` takes a run, and what must be done about it."""
    match life, event:
        case Ended(), _:
            return life, ()
        case _, Lost():
            return _lose(life, event, ledger, pace)
        case ((Training() | Committing()), Replaced()) if len(life.standing.roster) == 1:
            # Alone a trainer keeps no copy: only after the round there is a committed state to be kept aside.
            return replace(life, standing=replace(life.standing, replaced=event)), ()
        case _, Replaced():
            return hand_over(life.standing, event.why, event.leader)
        case _, StopAsked():
            if isinstance(life, Preparing) and not life.is_taken_over:
                return end(life.standing, "stopped")
            return replace(life, standing=replace(life.standing, is_stop_asked=True)), ()
        case _, Ready():
            return _welcome(life, event)
        case ((Grouping() | Training() | Committing()), Broken()) if event.term == life.standing.term:
            return _break(life, event)
        case Grouping(), Grouped() if event.term == life.standing.term:
            holders = life.standing.holders | {event.device}
            grouping = replace(
                life, standing=replace(life.standing, holders=holders), waiting=life.waiting - {event.device}
            )
            return (grouping, ()) if grouping.waiting else _open(grouping.standing, ledger, pace)
        case Training(), Trained() if event.term == life.standing.term and event.device in life.standing.roster:
            training = replace(life, results={**life.results, event.device: event.result})
            is_whole = len(training.results) == len(life.standing.roster)
            return _compare(training, ledger, pace) if is_whole else (training, ())
        case Committing(), Committed() if event.round == life.standing.round - 1:
            committing = replace(life, waiting=life.waiting - {event.device})
            return (committing, ()) if committing.waiting else _after_commit(committing, ledger, pace)
        case Suspecting(), Answered() if event.term == life.standing.term:
            suspecting = replace(life, waiting=life.waiting - {event.device})
            return (suspecting, ()) if suspecting.waiting else _group(life.standing)
        case Alone(), StillAlone() if event.term == life.standing.term:
            return _group(replace(life.standing, is_cut_off=False))
        case _:  # an answer to what has been given up meanwhile
            return life, ()


# -- who takes part ----------------------------------------------------------------------------------------------------


def _welcome(life: _Alive, event: Ready) -> _Next:
    """A member of the first roster is ready, or a device that joins the others at the end of the round."""
    if isinstance(life, Preparing) and event.device in life.standing.roster:
        waiting, ready = life.waiting - {event.device}, {**life.ready, event.device: event}
        preparing = replace(life, waiting=waiting, ready=ready)
        return (preparing, ()) if waiting else _settle(preparing)
    if event.device in life.standing.roster:
        return life, ()
    newcomers = {**life.standing.newcomers, event.device: event.held_states}
    newest_term = max(life.standing.newest_term, event.term)
    standing = replace(life.standing, newcomers=newcomers, newest_term=newest_term)
    if isinstance(life, Alone):
        return _group(standing)
    return replace(life, standing=standing), ()


def _settle(preparing: Preparing) -> _Next:
    """All are ready: go on from the latest commit of which a member still holds the state. After the loss of a leader
    some members may have committed its last round, and all of that round hold its result."""
    standing, ready = preparing.standing, preparing.ready
    held = {state for one in ready.values() for state in one.held_states}
    lasts = [one.last for one in ready.values() if one.last and one.last.state_hash in held]
    newest_term = max(standing.term, *(one.term for one in ready.values()))
    actions: tuple[Action, ...] = ()
    if lasts:
        last = max(lasts, key=commit_order)
        state = last.state_hash
        standing = replace(standing, round=last.round + 1, step=last.step, held_out=last.held_out)
        actions = (Adopt(last=last),)
    else:  # nothing was committed: go on from the start, and not from a round that was only trained
        state = next(reversed(ready[standing.roster[0]].held_states), "")
    holders = frozenset(device for device, one in ready.items() if state in one.held_states)
    grouping, more = _group(replace(standing, term=newest_term, state_hash=state, holders=holders))
    return grouping, (*actions, *more)


def _lose(life: _Alive, event: Lost, ledger: Ledger, pace: Pace) -> _Next:
    """The others go on without the device: with the same round, unless all of them have trained it."""
    standing, device = life.standing, event.device
    drop = Drop(device=device, why=event.why)
    if device in standing.newcomers:
        newcomers = {other: states for other, states in standing.newcomers.items() if other != device}
        return replace(life, standing=replace(standing, newcomers=newcomers)), (drop,)
    if device not in standing.roster:
        return life, ()
    rest = replace(
        standing,
        roster=tuple(other for other in standing.roster if other != device),
        holders=standing.holders - {device},
        num_broken=0,  # it was the cause
    )
    if device == standing.roster[0]:
        is_first_try = isinstance(life, Preparing) and not life.is_taken_over
        following = end(standing, "failed", event.why) if is_first_try else hand_over(standing, event.why)
        return following[0], (drop, *following[1])
    if len(rest.roster) == 1:
        rest = replace(rest, is_cut_off=event.is_silent)
    match life:
        case Preparing():
            waiting, ready = life.waiting - {device}, {d: one for d, one in life.ready.items() if d != device}
            preparing = replace(life, standing=rest, waiting=waiting, ready=ready)
            following = (preparing, ()) if waiting else _settle(preparing)
        case Committing():
            committing = replace(life, standing=rest, waiting=life.waiting - {device}, needs_group=True)
            following = (committing, ()) if committing.waiting else _after_commit(committing, ledger, pace)
        case Suspecting() if life.waiting - {device}:
            following = replace(life, standing=rest, waiting=life.waiting - {device}), ()
        case _:
            following = _group(rest)
    return following[0], (drop, *following[1])


def _break(life: Grouping | Training | Committing, event: Broken) -> _Next:
    """No one is blamed before each member was asked. The same members try again, MAX_BROKEN_GROUPS times at most."""
    if isinstance(life, Committing):
        return replace(life, needs_group=True), ()
    standing = replace(life.standing, num_broken=life.standing.num_broken + 1)
    if standing.num_broken < MAX_BROKEN_GROUPS:
        question = Question(roster=standing.roster, term=standing.term)
        return Suspecting(standing=standing, waiting=frozenset(standing.roster)), (question,)
    why = Sentence(
        "the members lost each other {count} times in a row: {why}", count=standing.num_broken, why=event.why
    )
    if len(standing.roster) == 1:
        return end(standing, "failed", why)
    return _drop_doubtful(standing, why)


def _drop_doubtful(standing: Standing, why: Sentence) -> _Next:
    """Somebody is the cause, and nobody knows who: one that never had the state, or else the last of the roster."""
    others = standing.roster[1:]
    device = next((other for other in others if other not in standing.holders), others[-1])
    rest = replace(
        standing,
        roster=tuple(other for other in standing.roster if other != device),
        holders=standing.holders - {device},
        num_broken=0,
    )
    following = _group(rest)
    return following[0], (Drop(device=device, why=why), *following[1])


def _group(standing: Standing) -> _Next:
    """Those who take part, and those who came meanwhile, form a group. Alone by silence: wait first."""
    if standing.is_cut_off and len(standing.roster) == 1 and not standing.newcomers:
        return Alone(standing=standing), (StandBy(term=standing.term),)
    came = frozenset(device for device, states in standing.newcomers.items() if standing.state_hash in states)
    standing = replace(
        standing,
        roster=(*standing.roster, *standing.newcomers),
        holders=standing.holders | came,
        newcomers={},
        is_cut_off=False,
        term=max(standing.term, standing.newest_term) + 1,
    )
    if not standing.holders:
        return end(
            standing, "failed", Sentence("nobody that is left holds the state after step {step}", step=standing.step)
        )
    action = FormGroup(
        roster=standing.roster,
        term=standing.term,
        step=standing.step,
        state_hash=standing.state_hash,
        holders=standing.holders,
    )
    return Grouping(standing=standing, waiting=frozenset(standing.roster)), (action,)


# -- rounds ------------------------------------------------------------------------------------------------------------


def _open(standing: Standing, ledger: Ledger, pace: Pace) -> _Next:
    """The held-out loss is evaluated at the start, at fixed steps and at the end: never by a clock, so that a second
    run with the same seed stops at the same step."""
    to_evaluation = ledger.steps_to_evaluation(standing.step)
    steps = min(steps_for_round(pace, standing.round), to_evaluation)
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
    """I3: after a committed round all members' weights hash the same. A minority is dropped, and may come back to fetch
    the state; without a majority the round is done again."""
    standing, results = training.standing, training.results
    state, count = Counter(result.state_hash for result in results.values()).most_common(1)[0]
    odd = tuple(device for device in standing.roster if results[device].state_hash != state)
    if odd and 2 * count <= len(standing.roster):
        text = "after round {round} the weights of the members differ, and no majority agrees"
        why = Sentence(text, round=standing.round)
        standing = replace(standing, num_broken=standing.num_broken + 1)
        return end(standing, "failed", why) if standing.num_broken >= MAX_BROKEN_GROUPS else _group(standing)
    why = Sentence("its weights differed after round {round}", round=standing.round)
    if standing.roster[0] in odd:
        return hand_over(replace(standing, roster=tuple(d for d in standing.roster if d not in odd[1:])), why)
    committing, commit = commit_of(training, ledger, pace)
    drops = tuple(Drop(device=device, why=why) for device in odd)
    return (replace(committing, needs_group=True) if odd else committing), (*drops, commit)


def _after_commit(committing: Committing, ledger: Ledger, pace: Pace) -> _Next:
    """The end of the run, or its next round, in another group if somebody has come or gone."""
    standing = committing.standing
    if standing.replaced:
        following = hand_over(standing, standing.replaced.why, standing.replaced.leader)
    elif committing.is_last:
        is_early = standing.step < ledger.total_steps and not standing.is_stop_asked
        following = end(standing, "stopped" if standing.is_stop_asked else "finished", is_early=is_early)
    else:
        following = _group(standing) if committing.needs_group or standing.newcomers else _open(standing, ledger, pace)
    return following[0], (Record(roster=standing.roster), *following[1])
