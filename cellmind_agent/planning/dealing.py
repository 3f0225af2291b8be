"""Deals the steps of a local round to its members, so that all finish together, whatever their speeds are. Pure.

Guided self-scheduling (Polychronopoulos and Kuck, IEEE Transactions on Computers C-36(12), 1987): a member that is
free receives half of its part, by speed, of the steps that nobody has yet. So speeds need not be exact, and the pieces
become smaller towards the end of the round. Steps of a lost member are dealt to the others. If a member is free and
nothing is left to deal, the others give back what they have not begun; if they still keep it waiting, they are cut in
the middle of their step, and what they have finished counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cellmind_agent.planning.ranges import Range
from cellmind_agent.planning.run_actions import Pace
from cellmind_agent.planning.shares import known_speeds
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import LEAST_GRACE_SECONDS, MAX_ROUND_STEPS


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalWork:
    """The steps of a local round, as ranges: nobody's yet, dealt to a member that has not answered, or taken."""

    first_step: int
    num_steps: int
    is_evaluated: bool
    free: tuple[Range, ...]
    dealt: Mapping[DeviceId, Range] = field(default_factory=dict)
    taken: Mapping[DeviceId, tuple[Range, ...]] = field(default_factory=dict)
    called_back: frozenset[DeviceId] = frozenset()  # asked to give back what they have not begun
    cut: frozenset[DeviceId] = frozenset()  # in the middle of a step: they get no more in this round
    num_answers: int = 0

    @property
    def is_done(self) -> bool:
        """Whether every step is taken."""
        return not self.free and not self.dealt


class Dealt(NamedTuple):
    """What has been decided: new deals, and whom to ask to give steps back."""

    work: LocalWork
    deals: Mapping[DeviceId, Range]
    called_back: tuple[DeviceId, ...]


def begin_work(first_step: int, num_steps: int, is_evaluated: bool) -> LocalWork:
    """A round of which nothing is done."""
    steps = ((first_step, first_step + num_steps),)
    return LocalWork(first_step=first_step, num_steps=num_steps, is_evaluated=is_evaluated, free=steps)


def deal(work: LocalWork, roster: Sequence[DeviceId], speeds: Mapping[DeviceId, float | None]) -> Dealt:
    """Give steps to the members that have none. A much slower one gets none if the others are done sooner without it.

    The fastest member always gets some, so the round goes on as long as one is left.
    """
    trusted = [device for device in roster if device not in work.cut] or roster
    known = dict(zip(trusted, known_speeds([speeds.get(device) for device in trusted]), strict=True))
    deals: dict[DeviceId, Range] = {}
    free, together = list(work.free), sum(known.values())
    idle = [device for device in trusted if device not in work.dealt]
    for device in sorted(idle, key=lambda one: -known[one]):
        num_left = sum(map(_count, free))
        if not num_left or _others_are_sooner(device, known, num_left):
            continue
        start, stop = free.pop(0)
        wanted = min(MAX_ROUND_STEPS, max(1, int(num_left * known[device] / together / 2)))
        deals[device] = start, min(stop, start + wanted)
        if deals[device][1] < stop:
            free.insert(0, (deals[device][1], stop))
    dealt = {**work.dealt, **deals}
    # A member that is free now, and could take a step in time, would wait for the others.
    is_waiting = not free and any(one not in deals and not _others_are_sooner(one, known, 1) for one in idle)
    back = tuple(one for one, steps in dealt.items() if _count(steps) > 1 and one not in work.called_back)
    called = back if is_waiting else ()
    after = replace(work, free=tuple(free), dealt=dealt, called_back=work.called_back | set(called))
    return Dealt(after, deals, called)


def note_taken(work: LocalWork, device: DeviceId, first_step: int, count: int) -> LocalWork:
    """A member has taken the first `count` steps of what it was dealt from `first_step` on, and gives back the rest.

    Nothing changes if it was not dealt that.
    """
    steps = work.dealt.get(device)
    if steps is None or steps[0] != first_step:
        return work
    until = min(steps[1], first_step + max(0, count))
    taken = _joined((*work.taken.get(device, ()), (first_step, until)))
    return replace(
        work,
        cut=work.cut | {device} if until == first_step else work.cut,
        num_answers=work.num_answers + 1,
        free=_joined((*work.free, (until, steps[1]))),
        dealt={other: its for other, its in work.dealt.items() if other != device},
        taken={**work.taken, device: taken} if taken else work.taken,
        called_back=work.called_back - {device},
    )


def grace_seconds(work: LocalWork, roster: Sequence[DeviceId], pace: Pace) -> float | None:
    """How long the members that are free should wait for the others, if nothing is left to deal: as long as the slowest
    of those needs for a step, by its known speed. One that takes longer has become slow. None: nobody waits, or no
    speed is known yet.
    """
    idle = [device for device in roster if device not in work.dealt and device not in work.cut]
    if work.free or not work.dealt or not idle or not pace.seconds_per_step:
        return None
    known = dict(zip(roster, known_speeds([pace.speeds.get(device) for device in roster]), strict=True))
    slowest = min(known[device] for device in work.dealt if device in known)
    return max(LEAST_GRACE_SECONDS, pace.seconds_per_step * sum(known.values()) / slowest)


def without(work: LocalWork, device: DeviceId) -> LocalWork:
    """The member is lost: its steps are nobody's again."""
    dealt = (work.dealt[device],) if device in work.dealt else ()
    return replace(
        work,
        free=_joined((*work.free, *dealt, *work.taken.get(device, ()))),
        dealt={other: steps for other, steps in work.dealt.items() if other != device},
        taken={other: steps for other, steps in work.taken.items() if other != device},
        called_back=work.called_back - {device},
        cut=work.cut - {device},
        num_answers=work.num_answers + 1,
    )


def shortened(work: LocalWork) -> LocalWork:
    """The round ends with the steps that are dealt, if only those at its end are free. Nothing is evaluated then."""
    end = work.first_step + work.num_steps
    if len(work.free) != 1 or work.free[0][1] != end:
        return work
    return replace(work, num_steps=work.free[0][0] - work.first_step, is_evaluated=False, free=())


def _others_are_sooner(device: DeviceId, speeds: Mapping[DeviceId, float], num_steps: int) -> bool:
    """Whether the others could take so many steps in half of the time in which this device takes one."""
    others = (speed for other, speed in speeds.items() if other != device)
    return sum(int(speed / speeds[device] / 2) for speed in others) >= num_steps


def _count(steps: Range) -> int:
    return steps[1] - steps[0]


def _joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """The same steps in order, as few ranges; none is in two of them."""
    found: list[Range] = []
    for start, stop in sorted(ranges):
        if start == stop:
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, stop))
    return tuple(found)
