"""Which rounds of a run count: those of one device's log of events, and those of several devices together. Pure.

Devices come and go, so each has only the rounds of the time when it took part. It reports them as periods: rounds of
one term, and so of one roster, which all its members know. `chain` puts the periods of all devices together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from cellmind_agent.protocol.messages import (
    Contribution,
    Departure,
    LeaderChanged,
    MemberJoined,
    MemberLost,
    Period,
    RoundCommitted,
    RoundStarted,
)

StoryEvent: TypeAlias = RoundStarted | RoundCommitted | MemberJoined | MemberLost | LeaderChanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """An event in a log, and when it was written there (seconds since 1970; None: an older version wrote it)."""

    event: StoryEvent
    time: float | None = None


def lineage(rounds: Iterable[RoundCommitted]) -> tuple[RoundCommitted, ...]:
    """The rounds that count, of all that one device has committed, in their order.

    A round that starts before the end of earlier ones does their work again: they do not count any more.
    """
    history = _History()
    for committed in rounds:
        history.commit(committed, None)
    return tuple(one.committed for one in history.rounds)


def periods_of(events: Iterable[Noted]) -> tuple[Period, ...]:
    """What one device's log of events says about the rounds that count, in their order."""
    history = _History()
    for noted in events:
        match noted.event:
            case RoundStarted():
                history.start(noted.event, noted.time)
            case RoundCommitted():
                history.commit(noted.event, noted.time)
            case MemberJoined():
                history.joined.add(noted.event.name)
            case MemberLost():
                history.lose(noted.event.name, noted.event, noted.time)
            case LeaderChanged():
                before = history.leader
                history.lose(None if before == noted.event.name else before, noted.event, noted.time)
    return _joined(history)


def chain(stories: Sequence[Sequence[Period]]) -> tuple[Period, ...]:
    """The periods that lead to the highest step that any of the devices knows, in their order.

    Each is followed by the newest one before it which ends where it starts. So the rounds of the part of a cell that
    gave up after a partition are left out, and so is what one device knows less well than another. Where no period
    ends there, nobody knows the rounds before it (or, after a resume, one goes on too far, and is cut).
    """
    known = [_Known(period, _is_continued(story, place)) for story in stories for place, period in enumerate(story)]
    found: list[Period] = []
    while known:
        until = found[-1].first_step if found else None
        best = max(known, key=lambda one: one.rank(until))
        found.append(best.period if until is None else _cut(best.period, until))
        known = [one for one in known if one.may_precede(best)]
    return tuple(reversed(found))


@dataclass(slots=True, kw_only=True)
class _Round:
    """A committed round, and what happened between the one before it and its own commit."""

    committed: RoundCommitted
    left: tuple[Departure, ...]
    redone_tokens: float
    redone_seconds: float

    @property
    def tokens(self) -> int:
        return sum(member.tokens for member in self.committed.members)

    @property
    def seconds(self) -> float:
        return self.tokens / self.committed.tokens_per_second if self.committed.tokens_per_second > 0 else 0.0

    @property
    def roster(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.committed.members)


@dataclass(slots=True)
class _History:
    """The rounds that count so far, and what has happened since the last of them."""

    rounds: list[_Round] = field(default_factory=list)
    left: list[Departure] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)
    redone_tokens: float = 0.0
    redone_seconds: float = 0.0
    _open: tuple[RoundStarted, float | None] | None = None  # the round that is being trained, and since when
    _broken_at: float | None = None  # the first sign that it will not be committed

    @property
    def leader(self) -> str | None:
        return self.rounds[-1].roster[0] if self.rounds and self.rounds[-1].roster else None

    def start(self, started: RoundStarted, time: float | None) -> None:
        self._give_up(time)
        self._undo(started.step)
        self._open, self._broken_at = (started, time), None

    def lose(self, name: str | None, event: MemberLost | LeaderChanged, time: float | None) -> None:
        """The first reason counts: it is closest to the cause."""
        if self._broken_at is None:
            self._broken_at = time
        if name is not None and name not in {one.name for one in self.left}:
            self.left.append(Departure(name=name, why=event.why))

    def commit(self, committed: RoundCommitted, time: float | None) -> None:
        if self.rounds and _is_same(self.rounds[-1].committed, committed):
            return
        opened = self._open[0] if self._open else None
        if opened and (opened.step, opened.step + opened.num_steps) != (committed.first_step, committed.step):
            self._give_up(time)
        self._undo(committed.first_step)
        # A member of the round that was lost and has not joined again was lost during the commit: it leaves after it.
        members = {member.name for member in committed.members}
        later = [one for one in self.left if one.name in members - self.joined]
        self.rounds.append(
            _Round(
                committed=committed,
                left=tuple(one for one in self.left if one not in later),
                redone_tokens=self.redone_tokens,
                redone_seconds=self.redone_seconds,
            )
        )
        self.left, self.redone_tokens, self.redone_seconds = later, 0.0, 0.0
        self.joined.clear()
        self._open = self._broken_at = None

    def _undo(self, step: int) -> None:
        """The rounds after `step` are trained again."""
        while self.rounds and self.rounds[-1].committed.step > step:
            undone = self.rounds.pop()
            self.left = [*undone.left, *self.left]
            self.redone_tokens += undone.redone_tokens + undone.tokens
            self.redone_seconds += undone.redone_seconds + undone.seconds

    def _give_up(self, time: float | None) -> None:
        """The open round was not committed: no more of its work is lost than its steps would have taken."""
        if self._open is None:
            return
        (started, since), until = self._open, time if self._broken_at is None else self._broken_at
        last = self.rounds[-1] if self.rounds else None
        if since is not None and until is not None and last and last.committed.step > last.committed.first_step:
            steps = last.committed.step - last.committed.first_step
            seconds = min(max(0.0, until - since), started.num_steps * last.seconds / steps)
            self.redone_seconds += seconds
            self.redone_tokens += seconds * last.committed.tokens_per_second
        self._open = self._broken_at = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A period that one device knows. `is_continued`: it also knows the rounds right before it."""

    period: Period
    is_continued: bool

    @property
    def age(self) -> tuple[int, int, bool]:
        """Of two periods in one lineage, the one with the smaller age is older."""
        return self.period.term, self.period.first_step, not self.period.members

    def may_precede(self, later: _Known) -> bool:
        start = later.period.first_step
        leads_there = self.period.first_step < start or self.period.step == start
        return leads_there and self.age < later.age and bool(self.period.members)

    def rank(self, until: int | None) -> tuple[object, ...]:
        """The larger it is, the better the period leads to the step `until`, or to the highest step."""
        end = self.period.step
        reached = end if until is None else min(end, until)
        knowledge = (self.is_continued, len(self.period.left), self.period.redone_seconds)
        return reached, end == reached, self.age, knowledge


def _is_continued(story: Sequence[Period], place: int) -> bool:
    return story[place].first_step == (story[place - 1].step if place else 0)


def _tokens_of(period: Period) -> int:
    return sum(member.tokens for member in period.members)


def _cut(period: Period, until: int) -> Period:
    """The part of a period up to a step: its steps took about the same time each."""
    if period.step <= until:
        return period
    kept, steps = until - period.first_step, period.step - period.first_step
    members = tuple(replace(member, tokens=member.tokens * kept // steps) for member in period.members)
    rest = replace(period, step=until, members=members, seconds=period.seconds * kept / steps)
    return replace(
        rest,
        redone_tokens=period.redone_tokens + _tokens_of(period) - _tokens_of(rest),
        redone_seconds=period.redone_seconds + period.seconds - rest.seconds,
    )


def _is_same(one: RoundCommitted, other: RoundCommitted) -> bool:
    """Whether both are reports of one round. One that is trained again belongs to a later term."""
    return all(
        getattr(one, name) == getattr(other, name) for name in ("term", "round", "first_step", "step", "state_hash")
    )


def _joined(history: _History) -> tuple[Period, ...]:
    """The rounds in a row, as periods. What has happened since the last one is a period without rounds."""
    found: list[Period] = []
    before: _Round | None = None
    for one in history.rounds:
        if before and _goes_on(before, one):
            found[-1] = _longer(found[-1], one)
        else:
            found.append(_begun(one))
        before = one
    if before and (history.left or history.redone_seconds):
        end = before.committed.step
        found.append(
            Period(
                term=before.committed.term,
                first_step=end,
                step=end,
                members=(),
                seconds=0.0,
                left=tuple(history.left),
                redone_tokens=round(history.redone_tokens),
                redone_seconds=history.redone_seconds,
            )
        )
    return tuple(found)


def _goes_on(before: _Round, one: _Round) -> bool:
    is_next = (before.committed.term, before.committed.step) == (one.committed.term, one.committed.first_step)
    return is_next and before.roster == one.roster and not one.left


def _begun(one: _Round) -> Period:
    return Period(
        term=one.committed.term,
        first_step=one.committed.first_step,
        step=one.committed.step,
        members=tuple(Contribution(name=member.name, tokens=member.tokens) for member in one.committed.members),
        seconds=one.seconds,
        left=one.left,
        redone_tokens=round(one.redone_tokens),
        redone_seconds=one.redone_seconds,
    )


def _longer(period: Period, one: _Round) -> Period:
    members = zip(period.members, one.committed.members, strict=True)
    return replace(
        period,
        step=one.committed.step,
        members=tuple(replace(member, tokens=member.tokens + new.tokens) for member, new in members),
        seconds=period.seconds + one.seconds,
        redone_tokens=period.redone_tokens + round(one.redone_tokens),
        redone_seconds=period.redone_seconds + one.redone_seconds,
    )
