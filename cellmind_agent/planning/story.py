"""How a run went: who contributed what, who was lost, and which of its checkpoints are shown. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import MAX_CHECKPOINT_STORIES, MAX_DEPARTURES
from cellmind_agent.protocol.messages import (
    CheckpointStory,
    Contribution,
    Departure,
    MemberLost,
    RoundCommitted,
    RoundStarted,
    RunStory,
)
from model.line.held_out import served_loss

StoryEvent: TypeAlias = RoundStarted | RoundCommitted | MemberLost


def story_of(run: RunId, events: Iterable[StoryEvent], checkpoints: tuple[CheckpointStory, ...]) -> RunStory:
    """The story of what happened while one device led the run, in its order.

    A round that starts at a step before the end of earlier ones does their work again: they do not count.
    """
    counted: list[RoundCommitted] = []
    seconds, redone = 0.0, 0
    departures: list[Departure] = []
    for event in events:
        if isinstance(event, MemberLost):
            step = counted[-1].step if counted else 0
            departures.append(Departure(name=event.name, step=step, why=event.why))
            continue
        if isinstance(event, RoundStarted):
            while counted and counted[-1].step > event.step:
                redone += _tokens(counted.pop())
            continue
        counted.append(event)
        seconds += _tokens(event) / event.tokens_per_second if event.tokens_per_second > 0 else 0.0
    tokens: Counter[str] = Counter()
    for committed in counted:
        tokens.update({member.name: member.tokens for member in committed.members})
    losses = [(served_loss(one.val_loss, one.average_val_loss), one.step) for one in counted]
    best = min(((loss, step) for loss, step in losses if loss is not None), default=None)
    return RunStory(
        run=run,
        seconds=seconds,
        contributions=_contributions(tokens),
        checkpoints=checkpoints,
        redone_tokens=redone,
        best_step=best[1] if best else None,
        best_val_loss=best[0] if best else None,
        departures=tuple(departures[-MAX_DEPARTURES:]),
    )


def merged(run: RunId, stories: Sequence[RunStory]) -> RunStory:
    """One story of those of several devices: a resumed run may have had several leaders."""
    tokens: Counter[str] = Counter()
    for story in stories:
        tokens.update({one.name: one.tokens for one in story.contributions})
    checkpoints: tuple[CheckpointStory, ...] = ()
    for checkpoint in sorted((one for story in stories for one in story.checkpoints), key=lambda one: one.time):
        checkpoints = (*_before(checkpoints, checkpoint), checkpoint)
    bests = [(s.best_val_loss, s.best_step) for s in stories if s.best_val_loss is not None]
    loss, step = min(bests, key=lambda best: best[0], default=(None, None))
    return RunStory(
        run=run,
        seconds=sum(story.seconds for story in stories),
        contributions=_contributions(tokens),
        checkpoints=checkpoints,
        redone_tokens=sum(story.redone_tokens for story in stories),
        best_step=step,
        best_val_loss=loss,
        departures=tuple(sorted((one for story in stories for one in story.departures), key=lambda one: one.step)),
    )


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


def _tokens(committed: RoundCommitted) -> int:
    return sum(member.tokens for member in committed.members)


def _contributions(tokens: Counter[str]) -> tuple[Contribution, ...]:
    """The largest first."""
    return tuple(Contribution(name=name, tokens=count) for name, count in tokens.most_common())
