"""The process groups of a run: who is in the next one, and what happens when one breaks. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from cellmind_agent.planning.dealing import without
from cellmind_agent.planning.endings import end
from cellmind_agent.planning.run_actions import Action, Drop, FormGroup, Question, StandBy
from cellmind_agent.planning.run_life import (
    Alone,
    Broken,
    Committing,
    Dealing,
    Grouping,
    RunLife,
    Standing,
    Suspecting,
    Training,
)
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_BROKEN_GROUPS
from model.line.sentence import Sentence

Next: TypeAlias = tuple[RunLife, tuple[Action, ...]]


def note_broken(life: Grouping | Dealing | Training | Committing, event: Broken) -> Next:
    """No one is blamed before each member was asked. The same members try again, MAX_BROKEN_GROUPS times at most."""
    if isinstance(life, Committing):
        return replace(life, needs_group=True), ()
    # A member that should still take steps has lost them, and nobody knows which: then none of them counts.
    work = life.standing.work
    work = None if work and work.dealt else work
    standing = replace(life.standing, num_broken=life.standing.num_broken + 1, work=work)
    if standing.num_broken < MAX_BROKEN_GROUPS:
        question = Question(roster=standing.roster, term=standing.term)
        return Suspecting(standing=standing, waiting=frozenset(standing.roster)), (question,)
    why = Sentence(
        "the members lost each other {count} times in a row: {why}", count=standing.num_broken, why=event.why
    )
    if len(standing.roster) == 1:
        return end(standing, "failed", why)
    return _drop_doubtful(standing, why)


def _drop_doubtful(standing: Standing, why: Sentence) -> Next:
    """Somebody is the cause, and nobody knows who: one that never had the state, or else the last of the roster."""
    others = standing.roster[1:]
    device = next((other for other in others if other not in standing.holders), others[-1])
    following = form_group(less(standing, device))
    return following[0], (Drop(device=device, why=why), *following[1])


def less(standing: Standing, device: DeviceId) -> Standing:
    """The others without this member, which is the cause of what was broken. Its steps of a local round are free."""
    return replace(
        standing,
        roster=tuple(other for other in standing.roster if other != device),
        holders=standing.holders - {device},
        num_broken=0,
        work=without(standing.work, device) if standing.work else None,
    )


def form_group(standing: Standing) -> Next:
    """Those who take part, and those who came meanwhile, form a group. Alone by silence: wait first. In the middle of a
    local round the members keep their steps."""
    if standing.is_cut_off and len(standing.roster) == 1 and not standing.newcomers:
        return Alone(standing=standing), (StandBy(term=standing.term),)
    keeps_steps = standing.work is not None
    coming = {} if keeps_steps else standing.newcomers  # they wait for the end of the round
    came = frozenset(device for device, states in coming.items() if standing.state_hash in states)
    standing = replace(
        standing,
        roster=(*standing.roster, *coming),
        holders=standing.holders | came,
        newcomers={} if coming else standing.newcomers,
        is_cut_off=False,
        term=max(standing.term, standing.newest_term) + 1,
    )
    if not standing.holders and not keeps_steps:
        return end(
            standing, "failed", Sentence("nobody that is left holds the state after step {step}", step=standing.step)
        )
    action = FormGroup(
        roster=standing.roster,
        term=standing.term,
        step=standing.step,
        state_hash=standing.state_hash,
        holders=standing.holders,
        keeps_steps=keeps_steps,
    )
    return Grouping(standing=standing, waiting=frozenset(standing.roster)), (action,)
