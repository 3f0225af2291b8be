"""How a run went: who contributed what, who came and went, how often each sample was used, and which of its checkpoints
are shown. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from cellmind_agent.planning.audit import audit, audit_steps
from cellmind_agent.planning.ledger import Ledger, ledger_of
from cellmind_agent.planning.lineage import Noted, chain, lineage, periods_of
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import MAX_CHECKPOINT_STORIES, MAX_PERIOD_MEMBERS, MAX_ROSTER_CHANGES
from cellmind_agent.protocol.messages import (
    CheckpointStory,
    Contribution,
    Period,
    RosterChange,
    RoundCommitted,
    RunSpec,
    RunStory,
    SamplesAudit,
    SpeedComparison,
)
from model.line.held_out import served_loss

_SHORT_ROUNDS = 2  # the first rounds of a run, in which nothing is known yet


def story_of(spec: RunSpec, events: Sequence[Noted], checkpoints: tuple[CheckpointStory, ...]) -> RunStory:
    """The story of a run as one device knows it, from its log of events. Raises ValueError for a spec that makes no
    run."""
    rounds = lineage(noted.event for noted in events if isinstance(noted.event, RoundCommitted))
    losses = [(served_loss(one.val_loss, one.average_val_loss), one.step) for one in rounds]
    best = min(((loss, step) for loss, step in losses if loss is not None), default=(None, None))
    known = _story(spec.run, _newest(periods_of(events)), checkpoints, best)
    changes = known.changes[-MAX_ROSTER_CHANGES:]
    return replace(known, changes=changes, audit=audit(ledger_of(spec), rounds), speeds=compare_speeds(spec, rounds))


def compare_speeds(spec: RunSpec, rounds: Sequence[RoundCommitted]) -> tuple[SpeedComparison, ...]:
    """The forecast beside the rounds that all its members trained, without those that are not as the others: the first
    ones, which are short, and those that evaluate the held-out loss. Empty if there are none, or no forecast."""
    if spec.forecast is None:
        return ()
    names = {member.name for member in spec.forecast.members}
    like = [
        one
        for one in rounds
        if one.round > _SHORT_ROUNDS
        and one.val_loss is None
        and one.tokens_per_second > 0
        and {member.name for member in one.members} == names
    ]
    if not like:
        return ()
    tokens = [sum(member.tokens for member in one.members) for one in like]
    seconds = sum(count / one.tokens_per_second for count, one in zip(tokens, like, strict=True))
    if not sum(tokens) or not seconds:
        return ()
    whole = SpeedComparison(name="", forecast=spec.forecast.tokens_per_second, measured=sum(tokens) / seconds)
    found = [whole]
    for expected in spec.forecast.members:
        speeds = [m.tokens_per_second for one in like for m in one.members if m.name == expected.name]
        measured = sum(speeds) / len(speeds)
        found.append(SpeedComparison(name=expected.name, forecast=expected.tokens_per_second, measured=measured))
    return tuple(found)


def merged(run: RunId, stories: Sequence[RunStory]) -> RunStory:
    """One story of those of several devices, each of which was away at times."""
    checkpoints: tuple[CheckpointStory, ...] = ()
    for checkpoint in sorted((one for story in stories for one in story.checkpoints), key=lambda one: one.time):
        checkpoints = (*_before(checkpoints, checkpoint), checkpoint)
    bests = [(s.best_val_loss, s.best_step) for s in stories if s.best_val_loss is not None]
    best = min(bests, key=lambda best: best[0], default=(None, None))
    periods = chain([story.periods for story in stories])
    known = _story(run, periods, checkpoints, best)
    speeds = next((story.speeds for story in stories if story.speeds), ())
    return replace(known, audit=_audit_of(periods, [story.audit for story in stories if story.audit]), speeds=speeds)


def with_checkpoint(kept: Sequence[CheckpointStory], new: CheckpointStory) -> tuple[CheckpointStory, ...]:
    """The checkpoints to keep when there is a new one: at most MAX_CHECKPOINT_STORIES, at about equal distances, the
    first and the newest among them. Those of work that was done again since are left out."""
    found = [*_before(kept, new), new]
    while len(found) > MAX_CHECKPOINT_STORIES:
        del found[min(range(1, len(found) - 1), key=lambda place: found[place + 1].step - found[place - 1].step)]
    return tuple(found)


def some_of(checkpoints: Sequence[CheckpointStory], count: int) -> tuple[CheckpointStory, ...]:
    """At most `count` (two or more) of the checkpoints: the first, the last, and some in between."""
    if len(checkpoints) <= count:
        return tuple(checkpoints)
    last = len(checkpoints) - 1
    return tuple(checkpoints[round(place * last / (count - 1))] for place in range(count))


def _before(checkpoints: Iterable[CheckpointStory], new: CheckpointStory) -> list[CheckpointStory]:
    return [one for one in checkpoints if one.step < new.step]


def _newest(periods: tuple[Period, ...]) -> tuple[Period, ...]:
    """As many of the last periods as fit into an answer, with as many reasons for losses."""
    found: list[Period] = []
    num_members = num_left = 0
    for period in reversed(periods):
        num_members += max(1, len(period.members))
        if num_members > MAX_PERIOD_MEMBERS:
            break
        left = period.left[: MAX_ROSTER_CHANGES - num_left]
        num_left += len(left)
        found.append(replace(period, left=left))
    return tuple(reversed(found))


def _audit_of(periods: tuple[Period, ...], audits: Sequence[SamplesAudit]) -> SamplesAudit | None:
    """The audit of periods that several devices know together."""
    if not audits:
        return None
    plan = audits[0]
    ledger = Ledger(num_samples=plan.num_samples, batch_samples=plan.batch_samples, epochs=plan.num_epochs)
    faults = dict.fromkeys(fault for one in audits for fault in one.faults)
    return audit_steps(ledger, [(period.first_step, period.step) for period in periods], faults)


def _story(
    run: RunId,
    periods: tuple[Period, ...],
    checkpoints: tuple[CheckpointStory, ...],
    best: tuple[float | None, int | None],
) -> RunStory:
    """The story without its audit; `best` is the lowest held-out loss and its step."""
    tokens: Counter[str] = Counter()
    for period in periods:
        tokens.update({member.name: member.tokens for member in period.members})
    redone = sum(period.redone_seconds for period in periods)
    return RunStory(
        run=run,
        seconds=sum(period.seconds for period in periods) + redone,
        contributions=tuple(Contribution(name=name, tokens=count) for name, count in tokens.most_common()),
        checkpoints=checkpoints,
        redone_tokens=sum(period.redone_tokens for period in periods),
        redone_seconds=redone,
        best_step=best[1],
        best_val_loss=best[0],
        changes=tuple(_changes(periods)),
        periods=periods,
    )


def _changes(periods: Iterable[Period]) -> Iterable[RosterChange]:
    """Who came and went between the periods, in order. A member may be lost and be back in the next roster."""
    known: set[str] = set()
    present: tuple[str, ...] = ()
    leader = None
    for period in periods:
        step, reasons = period.first_step, {one.name: one.why for one in period.left}
        roster = tuple(member.name for member in period.members)
        is_open = not roster  # no round was committed since: nobody has left but those that were lost
        left = [name for name in present if name in reasons or (name not in roster and not is_open)]
        for name in left:
            yield RosterChange(kind="left", name=name, step=step, why=reasons.get(name))
        for name in roster:
            if name in known and (name in left or name not in present):
                yield RosterChange(kind="returned", name=name, step=step)
            elif name not in known and known:
                yield RosterChange(kind="joined", name=name, step=step)
        if roster and roster[0] != leader:
            leader = roster[0]
            yield RosterChange(kind="led", name=leader, step=step)
        known |= {*roster}
        present = roster
