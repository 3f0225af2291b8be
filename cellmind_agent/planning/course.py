"""The course of a round: its steps, the comparison of what all have trained, and what follows its commit. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from cellmind_agent.planning.commits import commit_of, steps_for_round
from cellmind_agent.planning.dealing import begin_work, deal, grace_seconds
from cellmind_agent.planning.endings import end, hand_over
from cellmind_agent.planning.groups import Next, form_group
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.run_actions import (
    Action,
    Average,
    CallBack,
    Deal,
    Drop,
    LookAgain,
    OpenRound,
    Pace,
    Record,
)
from cellmind_agent.planning.run_life import Committing, Dealing, Looked, Standing, Training
from cellmind_agent.protocol.limits import MAX_BROKEN_GROUPS
from model.line.sentence import Sentence


def open_round(standing: Standing, ledger: Ledger, pace: Pace) -> Next:
    """The held-out loss is evaluated at the start, at fixed steps and at the end: never by a clock, so that a second
    run with the same seed stops at the same step."""
    to_evaluation = ledger.steps_to_evaluation(standing.step)
    is_alone = len(standing.roster) == 1
    mode = "ddp" if is_alone else ledger.mode  # a device alone takes a round as in `ddp`
    steps = min(steps_for_round(pace, standing.round, mode), to_evaluation)
    if standing.round == 0 or standing.is_stop_asked:  # after a stop one round without steps evaluates what was trained
        steps = 0
    is_evaluated = steps in (0, to_evaluation)
    is_together = mode == "ddp" or not steps
    action = OpenRound(
        roster=standing.roster,
        term=standing.term,
        round=standing.round,
        step=standing.step,
        num_steps=steps,
        is_evaluated=is_evaluated,
        is_together=is_together,
    )
    if is_together:
        return Training(standing=standing, num_steps=steps, is_evaluated=is_evaluated), (action,)
    work = begin_work(standing.step, steps, is_evaluated)
    following = deal_steps(Dealing(standing=replace(standing, work=work)), pace)
    return following[0], (action, *following[1])


def deal_steps(dealing: Dealing, pace: Pace) -> Next:
    """In a local round members that are free receive steps; when all are taken, the members average."""
    standing, work = dealing.standing, dealing.standing.work
    assert work
    if work.is_done:
        if dealing.needs_group:
            return form_group(standing)
        average = Average(
            roster=standing.roster,
            term=standing.term,
            round=standing.round,
            step=work.first_step,
            num_steps=work.num_steps,
            is_evaluated=work.is_evaluated,
        )
        return Training(standing=standing, num_steps=work.num_steps, is_evaluated=work.is_evaluated), (average,)
    dealt = deal(work, standing.roster, pace.speeds)
    actions: list[Action] = [
        Deal(
            device=device,
            term=standing.term,
            round=standing.round,
            round_step=work.first_step,
            num_steps=work.num_steps,
            steps=steps,
        )
        for device, steps in dealt.deals.items()
    ]
    actions += [
        CallBack(device=device, term=standing.term, first_step=dealt.work.dealt[device][0])
        for device in dealt.called_back
    ]
    grace = grace_seconds(dealt.work, standing.roster, pace)
    if grace is not None:
        count = dealt.work.num_answers
        actions.append(LookAgain(term=standing.term, round=standing.round, num_answers=count, seconds=grace))
    return replace(dealing, standing=replace(standing, work=dealt.work)), tuple(actions)


def cut_stragglers(dealing: Dealing, looked: Looked, pace: Pace) -> Next:
    """Members have waited for longer than any step should take, and nobody has answered meanwhile."""
    standing, work = dealing.standing, dealing.standing.work
    assert work
    is_waiting = grace_seconds(work, standing.roster, pace) is not None
    if looked.round != standing.round or looked.num_answers != work.num_answers or not is_waiting:
        return dealing, ()
    return dealing, tuple(
        CallBack(device=device, term=standing.term, first_step=steps[0], at_once=True)
        for device, steps in work.dealt.items()
    )


def compare(training: Training, ledger: Ledger, pace: Pace) -> Next:
    """I3: after a committed round all members' weights hash the same. A minority is dropped, and may come back to fetch
    the state; without a majority the round is done again."""
    standing, results = training.standing, training.results
    state, count = Counter(result.state_hash for result in results.values()).most_common(1)[0]
    odd = tuple(device for device in standing.roster if results[device].state_hash != state)
    if odd and 2 * count <= len(standing.roster):
        text = "after round {round} the weights of the members differ, and no majority agrees"
        why = Sentence(text, round=standing.round)
        standing = replace(standing, num_broken=standing.num_broken + 1, work=None)
        return end(standing, "failed", why) if standing.num_broken >= MAX_BROKEN_GROUPS else form_group(standing)
    why = Sentence("its weights differed after round {round}", round=standing.round)
    if standing.roster[0] in odd:
        return hand_over(replace(standing, roster=tuple(d for d in standing.roster if d not in odd[1:])), why)
    committing, commit = commit_of(training, ledger, pace)
    drops = tuple(Drop(device=device, why=why) for device in odd)
    return (replace(committing, needs_group=True) if odd else committing), (*drops, commit)


def after_commit(committing: Committing, ledger: Ledger, pace: Pace) -> Next:
    """The end of the run, or its next round, in another group if somebody has come or gone."""
    standing = committing.standing
    if standing.replaced:
        following = hand_over(standing, standing.replaced.why, standing.replaced.leader)
    elif committing.is_last:
        is_early = standing.step < ledger.total_steps and not standing.is_stop_asked
        following = end(standing, "stopped" if standing.is_stop_asked else "finished", is_early=is_early)
    else:
        needs_group = committing.needs_group or bool(standing.newcomers)
        following = form_group(standing) if needs_group else open_round(standing, ledger, pace)
    return following[0], (Record(roster=standing.roster), *following[1])
