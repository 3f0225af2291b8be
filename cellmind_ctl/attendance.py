"""Who left a run and who came back while a person watches it, and the time that was trained again. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from cellmind_agent.protocol import messages as m
from cellmind_agent.words import t
from cellmind_ctl.figures import duration
from model.line.sentence import Sentence

_WENT_AWAY = Sentence("went away")
_MIN_SHOWN_SECONDS = 0.5  # of history that arrives at once nobody knows how long it took


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    began: float  # seconds
    last_step: int


class Attendance:
    """Follows the events of one run, in their order."""

    def __init__(self) -> None:
        self._left: dict[str, Sentence] = {}  # by name: why
        self._back: dict[str, None] = {}  # names, in the order in which they came
        self._present: frozenset[str] = frozenset()
        self._leader_left = _WENT_AWAY
        self._committed: deque[_Round] = deque(maxlen=8)  # a new leader may lack the last ones
        self._began: float | None = None  # of the round under way
        self._redone_seconds = 0.0

    def note(self, event: m.RunEvent, now: float) -> None:
        """Take in one event that arrived at `now`, seconds of any clock."""
        match event:
            case m.MemberLost():
                self._leave(event.name, _reason(event.why) or event.why)
            case m.MemberJoined():
                self._come(event.name)
            case m.LeaderChanged():
                self._leader_left = _reason(event.why) or _WENT_AWAY
            case m.RoundStarted():
                self._start(event.step, now)
            case m.Progressed():
                self._meet(event.members)
            case m.RoundCommitted():
                self._meet(event.members)
                if self._began is not None:
                    self._committed.append(_Round(began=self._began, last_step=event.step))
                self._began = None

    def line(self) -> str:
        """One line for people; empty while nobody has left. A narrow terminal shows its beginning."""
        parts = []
        if self._redone_seconds >= _MIN_SHOWN_SECONDS:
            parts.append(t("trained again: {duration}", duration=duration(self._redone_seconds)))
        if self._left:
            names = ", ".join(f"{name} ({t(why)})" for name, why in self._left.items())
            parts.append(t("left: {names}", names=names))
        if self._back:
            parts.append(t("back: {names}", names=", ".join(self._back)))
        return "; ".join(parts)

    def _meet(self, members: Sequence[m.MemberProgress]) -> None:
        """These train now. A leader that died could not report its own loss."""
        names = frozenset(member.name for member in members)
        for name in names:
            self._come(name)
        for name in sorted(self._present - names - self._left.keys()):
            self._leave(name, self._leader_left)
        self._present = names

    def _leave(self, name: str, why: Sentence) -> None:
        self._left[name] = why
        self._back.pop(name, None)

    def _come(self, name: str) -> None:
        if self._left.pop(name, None) is not None:
            self._back[name] = None

    def _start(self, step: int, now: float) -> None:
        """A round begins. Earlier ones that went beyond `step`, or were not committed, are trained again."""
        since = self._began
        while self._committed and self._committed[-1].last_step > step:
            since = self._committed.pop().began
        if since is not None:
            self._redone_seconds += now - since
        self._began = now


def _reason(why: Sentence) -> Sentence | None:
    """The part of the sentence that gives the reason, without the name of the member."""
    inner = why.fields.get("why") if "name" in why.fields else None
    return inner if isinstance(inner, Sentence) else None
