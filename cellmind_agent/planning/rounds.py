"""The life of a run, as a pure state machine. A round is a transaction: it commits on every member of its roster, or
nothing has happened.

    Preparing -> Grouping -> Training -> Committing -> Training -> ... -> Ended
                    ^            |            |
                    +------------+------------+   (the roster changes, or the group breaks: a new group)

In a local round of several members Dealing comes before Training. There a lost member changes nothing for the others,
who take its steps too; they form another group before they average, and keep what they have done.

The roster is keyed by device; its first device leads. A term is one process group: what belongs to an older term counts
for nothing. A device that joins or comes back, and one whose round is done again, are the same case: the next group has
another roster, and those that lack the committed state receive it there. Round 0 has no steps: it commits the state
that everybody starts from, fresh or resumed, and so proves it equal. `transition` touches no socket, clock or process:
it returns what should happen, and the leader makes it happen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from cellmind_agent.planning.course import after_commit, compare, cut_stragglers, deal_steps, open_round
from cellmind_agent.planning.dealing import LocalWork, note_taken, shortened
from cellmind_agent.planning.endings import end, hand_over
from cellmind_agent.planning.groups import Next, form_group, less, note_broken
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.run_actions import Action, Adopt, Drop, Pace
from cellmind_agent.planning.run_life import (
    Alone,
    Answered,
    Broken,
    Committed,
    Committing,
    Dealing,
    Ended,
    Grouped,
    Grouping,
    Looked,
    Lost,
    Preparing,
    Ready,
    Replaced,
    RunEvent,
    RunLife,
    Standing,
    StillAlone,
    StopAsked,
    Suspecting,
    Took,
    Trained,
    Training,
)
from cellmind_agent.planning.succession import commit_order
from cellmind_agent.protocol.ids import DeviceId
from model.line.held_out import HeldOutRecord

_Alive: TypeAlias = Preparing | Grouping | Dealing | Training | Committing | Suspecting | Alone


def begin(
    roster: tuple[DeviceId, ...], term: int, step: int, held_out: HeldOutRecord, is_taken_over: bool = False
) -> Preparing:
    """A run before its members are ready. `term` is the one before its first process group."""
    standing = Standing(roster=roster, term=term, round=0, step=step, held_out=held_out)
    return Preparing(standing=standing, waiting=frozenset(roster), is_taken_over=is_taken_over)


def transition(life: RunLife, event: RunEvent, ledger: Ledger, pace: Pace) -> Next:
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
        case Dealing(), StopAsked() if life.standing.work:
            standing = replace(life.standing, is_stop_asked=True, work=shortened(life.standing.work))
            return deal_steps(replace(life, standing=standing), pace)
        case _, StopAsked():
            if isinstance(life, Preparing) and not life.is_taken_over:
                return end(life.standing, "stopped")
            return replace(life, standing=replace(life.standing, is_stop_asked=True)), ()
        case _, Ready():
            return _welcome(life, event)
        case ((Grouping() | Dealing() | Training() | Committing()), Broken()) if event.term == life.standing.term:
            return note_broken(life, event)
        case Grouping(), Grouped() if event.term == life.standing.term:
            holders = life.standing.holders | {event.device}
            grouping = replace(
                life, standing=replace(life.standing, holders=holders), waiting=life.waiting - {event.device}
            )
            if grouping.waiting:
                return grouping, ()
            return _go_on(grouping.standing, ledger, pace)
        case _, Took() if life.standing.work:
            return _take(life, life.standing.work, event, pace)
        case Dealing(), Looked() if event.term == life.standing.term and life.standing.work:
            return cut_stragglers(life, event, pace)
        case Training(), Trained() if event.term == life.standing.term and event.device in life.standing.roster:
            training = replace(life, results={**life.results, event.device: event.result})
            is_whole = len(training.results) == len(life.standing.roster)
            return compare(training, ledger, pace) if is_whole else (training, ())
        case Committing(), Committed() if event.round == life.standing.round - 1:
            committing = replace(life, waiting=life.waiting - {event.device})
            return (committing, ()) if committing.waiting else after_commit(committing, ledger, pace)
        case Suspecting(), Answered() if event.term == life.standing.term:
            suspecting = replace(life, waiting=life.waiting - {event.device})
            return (suspecting, ()) if suspecting.waiting else form_group(life.standing)
        case Alone(), StillAlone() if event.term == life.standing.term:
            return form_group(replace(life.standing, is_cut_off=False))
        case _:  # an answer to what has been given up meanwhile
            return life, ()


def _take(life: _Alive, work: LocalWork, took: Took, pace: Pace) -> Next:
    """A member has taken steps; it may have said so when the round was given up already."""
    work = note_taken(work, took.device, took.first_step, took.count)
    life = replace(life, standing=replace(life.standing, work=work))
    return deal_steps(life, pace) if isinstance(life, Dealing) else (life, ())


def _go_on(standing: Standing, ledger: Ledger, pace: Pace) -> Next:
    """A new group trains on: with the next round, or in the middle of a local one."""
    if standing.work is None:
        return open_round(standing, ledger, pace)
    if standing.work.dealt:  # a member has not said what it has done before it joined the group
        return form_group(replace(standing, work=None))
    return deal_steps(Dealing(standing=standing), pace)


# -- who takes part ----------------------------------------------------------------------------------------------------


def _welcome(life: _Alive, event: Ready) -> Next:
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
        return form_group(standing)
    if isinstance(life, Preparing):  # it may know a later commit than the first roster does
        life = replace(life, ready={**life.ready, event.device: event})
    return replace(life, standing=standing), ()


def _settle(preparing: Preparing) -> Next:
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
    holders = frozenset(device for device in standing.roster if state in ready[device].held_states)
    grouping, more = form_group(replace(standing, term=newest_term, state_hash=state, holders=holders))
    return grouping, (*actions, *more)


def _lose(life: _Alive, event: Lost, ledger: Ledger, pace: Pace) -> Next:
    """The others go on without the device: with the same round, unless all of them have trained it."""
    standing, device = life.standing, event.device
    drop = Drop(device=device, why=event.why)
    if device in standing.newcomers:
        newcomers = {other: states for other, states in standing.newcomers.items() if other != device}
        if isinstance(life, Preparing):
            life = replace(life, ready={other: one for other, one in life.ready.items() if other != device})
        return replace(life, standing=replace(standing, newcomers=newcomers)), (drop,)
    if device not in standing.roster:
        return life, ()
    rest = less(standing, device)
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
            following = (committing, ()) if committing.waiting else after_commit(committing, ledger, pace)
        case Dealing() if not rest.is_cut_off:  # they go on, and need another group only for their average
            following = deal_steps(replace(life, standing=rest, needs_group=True), pace)
        case Suspecting() if life.waiting - {device}:
            following = replace(life, standing=rest, waiting=life.waiting - {device}), ()
        case _:
            following = form_group(rest)
    return following[0], (drop, *following[1])
