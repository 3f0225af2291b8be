"""How a simulated leader asks and hears its members: the order of `runs/attendance` and `runs/membership`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cellmind_agent.planning import run_life as life
from cellmind_agent.planning.recruits import recruits
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, GroupBrokenError, SupersededError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import CLAIM_PAUSE_SECONDS, CLAIM_SECONDS, RECRUIT_SECONDS
from cellmind_agent.runs.attendance import Leadership
from cellmind_agent.runs.commit_book import CommitBook
from cellmind_agent.runs.figures import RunFigures
from model.line.sentence import Sentence
from tests.planning.simulated.device import Device, Task, Timer, Work
from tests.planning.simulated.wires import Call


@dataclass(slots=True, eq=False)
class Stay:
    """As `runs/membership.Stay`."""

    seat: m.RosterMember
    is_first: bool
    is_ready: bool = False

    @property
    def device(self) -> DeviceId:
        return self.seat.device


class Attending:
    """The members of the run that this device leads."""

    def __init__(self, device: Device, leadership: Leadership, total_steps: int) -> None:
        self.device, self.cell, self._leadership = device, device.cell, leadership
        self._figures = RunFigures(leadership.spec, leadership.start, total_steps, self.cell.now)
        self._roster = tuple(seat.device for seat in leadership.roster)
        self.is_taken_over = leadership.taken_over is not None
        self.term = leadership.term.number
        self.inbox: deque[life.RunEvent] = deque()
        self.book = CommitBook(leadership.spec, device.id)
        self.stays: dict[DeviceId, Stay] = {}
        self._tries: Counter[DeviceId] = Counter()
        self._tasks: list[Task] = []
        self._timers: list[Timer] = []
        self._calls: list[Call] = []

    @property
    def where(self) -> tuple[m.Term, m.LastCommit | None]:
        return m.Term(number=self.term, leader=self.device.id), self.book.last

    # -- members -------------------------------------------------------------------------------------------------------

    def _admit(self, seat: m.RosterMember) -> Stay:
        is_first = seat.device in self._roster and not self._tries[seat.device]
        stay = self.stays[seat.device] = Stay(seat, is_first)
        return stay

    def _part_with(self, device: DeviceId) -> Stay:
        self._tries[device] = max(1, self._tries[device])
        return self.stays.pop(device)

    def _seats(self, devices: tuple[DeviceId, ...]) -> tuple[m.RosterMember, ...]:
        return tuple(self.stays[device].seat for device in devices if device in self.stays)

    def _attend(self, stay: Stay) -> Work[None]:
        """A member's stream, from its preparation to its end."""
        term, last = self.where
        request = m.PrepareMember(
            spec=self._leadership.spec, term=term, roster=self._seats(tuple(self.stays)),
            start=self._leadership.start, last=last,
        )  # fmt: skip
        why = Sentence("it left")
        try:
            yield from self._claim(stay, request)
        except SupersededError as error:
            why = error.message
            self._tries[stay.device] = max(1, self._tries[stay.device] - 1)
            if stay.is_ready or (self.is_taken_over and stay.is_first):
                self.inbox.append(life.Replaced(why=why))
            else:
                yield from self._meet_rivals()
        except CellmindError as error:
            why = error.message
        self._lose(stay, why)

    def _claim(self, stay: Stay, request: m.PrepareMember) -> Work[None]:
        tries = int(CLAIM_SECONDS / CLAIM_PAUSE_SECONDS) if self.is_taken_over and stay.is_first else 0
        while True:
            try:
                yield from self._hear(stay, request)
                return
            except SupersededError:
                if stay.is_ready or not tries:
                    raise
            tries -= 1
            yield from self._later("claim again", self.cell.now + CLAIM_PAUSE_SECONDS, lambda: None)

    def _hear(self, stay: Stay, request: m.PrepareMember) -> Work[None]:
        call = self._call(stay.device, request)
        is_own = stay.device == self.device.id
        while True:
            yield lambda: call.is_ready or not (is_own or self.device.is_online(stay.device))
            if call.answers:
                answer = call.answers.popleft()
                if isinstance(answer, m.MemberReady):
                    self._welcome(stay, answer)
                continue
            if call.error:
                raise call.error
            self.device.leave(call)
            return

    def _welcome(self, stay: Stay, ready: m.MemberReady) -> None:
        stay.is_ready = True
        self._figures.seat(stay.seat)
        self.book.note(
            m.MemberJoined(run=self._leadership.spec.run, name=stay.seat.name, device_kind="cpu", tuning=Sentence(""))
        )
        self.inbox.append(
            life.Ready(device=stay.device, held_states=ready.held_states, last=ready.last, term=ready.term)
        )

    def _lose(self, stay: Stay, why: Sentence) -> None:
        if self.stays.get(stay.device) is not stay:
            return
        if not stay.is_ready and not stay.is_first:
            self._part_with(stay.device)
            return
        is_silent = stay.device in self.device.silent
        self.inbox.append(life.Lost(device=stay.device, why=why, is_silent=is_silent))

    def _recruit(self) -> Work[None]:
        while True:
            timer = self._timer("recruit", partial(self._due_to_recruit, self.cell.now + RECRUIT_SECONDS))
            yield lambda: timer.has_fired  # noqa: B023
            self.device.forget(timer)
            for view in self._recruits():
                self._tries[view.id] += 1
                self._start(self._attend(self._admit(self.cell.seats[view.id])))

    def _due_to_recruit(self, due: float) -> float | None:
        return due if self._recruits() else None

    def _recruits(self) -> tuple[m.PeerView, ...]:
        views = [self.cell.views[other] for other in sorted(self.device.links)]
        return recruits(views, self._leadership.spec, self.stays.keys(), self._tries)

    def _meet_rivals(self) -> Work[None]:
        term, last = self.where
        request = m.CompareRun(run=self._leadership.spec.run, term=term, last=last)
        for other in sorted(self.device.links):
            if other < self.device.id:
                continue
            try:
                if (yield from self._ask(other, request)).leads_on:
                    self._yield_to(other)
                    return
            except CellmindError:
                continue

    def _yield_to(self, rival: DeviceId) -> None:
        why = Sentence("{name} leads too, and has trained more", name=rival[0])
        self.inbox.append(life.Replaced(why=why, leader=rival))

    # -- requests ------------------------------------------------------------------------------------------------------

    def _ask_all(
        self, roster: tuple[DeviceId, ...], term: int, request: object, event: Callable[..., life.RunEvent]
    ) -> None:
        for device in roster:
            if device in self.stays:
                self._start(self._ask_one(self.stays[device], term, request, event))

    def _ask_one(self, stay: Stay, term: int, request: object, event: Callable[..., life.RunEvent]) -> Work[None]:
        try:
            self.inbox.append(event(stay.device, (yield from self._ask(stay.device, request))))
        except GroupBrokenError as error:
            self.inbox.append(life.Broken(term=term, why=error.message))
        except SupersededError as error:
            self.inbox.append(life.Replaced(why=error.message))
        except CellmindError as error:
            self._lose(stay, error.message)

    def _ask(self, device: DeviceId, request: object) -> Work[m.Done]:
        call = self._call(device, request)
        yield lambda: call.is_ready
        if call.answers:
            return call.answers.popleft()
        raise call.error or CellmindError("no answer")

    def _call(self, device: DeviceId, request: object) -> Call:
        call = self.device.ask(device, request)
        self._calls = [one for one in self._calls if not one.is_over]
        self._calls.append(call)
        return call

    def _later(self, name: str, due: float, do: Callable[[], None]) -> Work[None]:
        timer = self._timer(name, lambda: due)
        yield lambda: timer.has_fired
        self.device.forget(timer)
        do()

    def _timer(self, name: str, due: Callable[[], float | None]) -> Timer:
        timer = self.device.timer(name, due)
        self._timers.append(timer)
        return timer

    def _start(self, work: Work[None]) -> None:
        self._tasks.append(self.device.start(work))
