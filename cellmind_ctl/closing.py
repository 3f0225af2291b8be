"""How a run went, in one line that a person can repeat: who took part, how long, and how often the text was used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cellmind_agent.planning.resuming import is_under_way
from cellmind_agent.protocol import messages as m
from cellmind_agent.words import t
from cellmind_ctl.figures import percent


class Turnover(NamedTuple):
    """The devices that were not there all the time, each in one list at most, sorted."""

    joined: list[str]  # later than the others, and stayed
    returned: list[str]  # after they had left
    left: list[str]  # and did not come back


def turnover(changes: Iterable[m.RosterChange]) -> Turnover:
    """Who came and went; the last that each device did counts."""
    found: dict[str, list[str]] = {"joined": [], "returned": [], "left": []}
    latest = {change.name: change.kind for change in changes if change.kind != "led"}
    for name, kind in sorted(latest.items()):
        found[kind].append(name)
    return Turnover(**found)


def closing_line(view: m.RunView, story: m.RunStory) -> str:
    """The line, or an empty one if nobody knows the run's rounds."""
    if story.audit is None or not story.contributions:
        return ""
    line = ", ".join([*_parts(story), _usage(story, story.audit)])
    return t("so far: {line}", line=line) if is_under_way(view) else line


def is_proved(audit: m.SamplesAudit) -> bool:
    """Whether it is known how often each sample was used, and it is as it should be."""
    return not audit.num_missing and not audit.faults


def _parts(story: m.RunStory) -> Iterator[str]:
    count = len(story.contributions)
    yield t("1 device") if count == 1 else t("{count} devices", count=count)
    yield exact_duration(story.seconds)
    came_and_went = turnover(story.changes)
    for sentence, names in (
        ("{count} joined later", came_and_went.joined),
        ("{count} left and came back", came_and_went.returned),
        ("{count} left", came_and_went.left),
    ):
        if names:
            yield t(sentence, count=len(names))
    if story.redone_seconds >= 0.5:
        yield t("{duration} of work redone", duration=exact_duration(story.redone_seconds))


def _usage(story: m.RunStory, audit: m.SamplesAudit) -> str:
    """How often the training text was used. The held-out text is never trained on."""
    if audit.faults:
        return t("your training text was not used evenly: {fault}", fault=t(audit.faults[0]))
    if audit.num_missing:
        steps = max(period.step for period in story.periods)
        known = sum(period.step - period.first_step for period in story.periods)
        sentence = "{part} of the training is known to no device online: how often your text was used is not proved"
        return t(sentence, part=_part(steps - known, steps))
    part = _part(audit.num_counted, audit.num_samples)
    if audit.epoch == 0:
        return t("{part} of your training text used, no part of it twice", part=part)
    if audit.epoch == 1:
        if audit.num_counted:
            return t("every part of your training text used exactly once, and {part} of it once more", part=part)
        return t("every part of your training text used exactly once")
    if audit.num_counted:
        sentence = "every part of your training text used exactly {count} times, and {part} of it once more"
        return t(sentence, count=audit.epoch, part=part)
    return t("every part of your training text used exactly {count} times", count=audit.epoch)


def _part(count: int, total: int) -> str:
    """A percentage that is neither rounded up to all nor down to nothing."""
    if not count:
        return percent(0)
    return percent(100 * count // total) if 100 * count >= total else "<1%"


def exact_duration(seconds: float) -> str:
    """A length of time in its two largest units, such as `2 h 10 min`; below two minutes in seconds."""
    if seconds < 120:
        return t("{number} s", number=f"{seconds:.0f}")
    minutes = round(seconds / 60)
    if minutes < 60:
        return t("{number} min", number=minutes)
    if minutes < 24 * 60:
        return t("{number} h {rest} min", number=minutes // 60, rest=minutes % 60)
    hours = round(minutes / 60)
    return t("{number} d {rest} h", number=hours // 24, rest=hours % 24)
