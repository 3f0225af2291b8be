"""A simulated cell: its devices, what can happen next, and the end of it all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from cellmind_agent.planning.ledger import Ledger, ledger_of
from cellmind_agent.planning.lineage import Noted, StoryEvent
from cellmind_agent.planning.resuming import is_under_way, may_go_on, newest_checkpoint
from cellmind_agent.planning.run_life import Lost
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, UnknownNameError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.limits import LEADER_CLOSE_SECONDS, RENDEZVOUS_SECONDS
from cellmind_agent.runs.attendance import Leadership
from model.line.sentence import Sentence
from tests.planning.peers import peer
from tests.planning.simulated.checks import Checks
from tests.planning.simulated.device import Device, Work
from tests.planning.simulated.leading import Leading
from tests.planning.simulated.member import Member
from tests.planning.simulated.part import Part
from tests.planning.simulated.records import RUN, RUN_SPEC
from tests.planning.simulated.trainer import Meeting, Operation, States, Trainer
from tests.planning.simulated.wires import Call, Link

MESSAGE_SECONDS = 0.05
STEP_SECONDS = 4.0  # a round has two or three of them


class Event(NamedTuple):
    """Something that could happen next. `due`: it happens then, if all goes at its usual speed."""

    name: str
    do: Callable[[], None]
    devices: tuple[Device, ...]  # that notice it
    due: float = 0.0


def _seconds(operation: Operation) -> float:
    return 1.0 if operation.kind == "average" else operation.num_steps * STEP_SECONDS


class SimulatedCell:
    """Devices that train one run together."""

    def __init__(self, num_devices: int, mode: m.RunMode = "ddp") -> None:
        ids = [DeviceId(letter * 32) for letter in "abcde"[:num_devices]]
        self.devices = {device: Device(device, self) for device in ids}
        self.seats = {device: m.RosterMember(device=device, name=device[0]) for device in ids}
        self.views = {device: replace(peer("x"), id=device, name=device[0]) for device in ids}
        self.spec = replace(RUN_SPEC, mode=mode)
        self.ledger: Ledger = ledger_of(self.spec)
        self.states, self.checks = States(), Checks()
        self.now = 0.0
        self.cut_off: frozenset[DeviceId] = frozenset()  # one of the two parts of the cell
        self.trace: list[str] | None = None
        self.is_settled = True  # or else an event is under way, or has failed a check: then nothing can go on from here
        self._meetings: dict[tuple[DeviceId, int], Meeting] = {}
        self._begun: dict[Operation, float] = {}
        for one, other in self.pairs():
            self._connect(one, other)

    def pairs(self) -> Iterator[tuple[Device, Device]]:
        return itertools.combinations(self.devices.values(), 2)

    # -- what can happen -----------------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """What can happen at any moment, however slow or fast the devices are."""
        return [*self._link_events(), *self._trainer_events(), *self._exits()]

    def timed(self) -> list[Event]:
        """What happens only because time goes by, in the order of time."""
        found = []
        for device in self.devices.values():
            if not device.is_awake:
                continue
            for timer in device.timers:
                due = None if timer.has_fired else timer.due()
                if due is not None:
                    found.append(Event(f"{device.name}: {timer.name}", timer.fire, (device,), due))
            if device.closes_at is not None:
                found.append(Event(f"{device.name} exits", device.crash, (device,), device.closes_at))
            operation = self.operation(device)
            if operation and not self._can_complete(operation):
                due = self._begun.setdefault(operation, self.now) + RENDEZVOUS_SECONDS
                found.append(Event(f"{device.name}: waits no longer", partial(self.fail, device), (device,), due))
        return sorted(found, key=lambda event: event.due)

    def happen(self, event: Event) -> None:
        self.now += MESSAGE_SECONDS
        if self.trace is not None:
            self.trace.append(f"{self.now:.1f} {event.name}")
        self.is_settled = False
        event.do()
        self.settle(event.devices)

    def settle(self, devices: Sequence[Device] = ()) -> None:
        """Let these devices do what they can, or all."""
        self.is_settled = False
        for _ in range(1000):
            if not sum(device.run() for device in devices or self.devices.values() if device.is_awake):
                self.is_settled = True
                return
        raise AssertionError("the devices are busy for ever")

    def _link_events(self) -> Iterator[Event]:
        for one, other in self.pairs():
            link = one.links.get(other.id) or other.links.get(one.id)
            connected = self._is_connected(one, other)
            if link is None:
                if connected:
                    yield Event(f"{one.name} meets {other.name}", partial(self._connect, one, other), (one, other))
                continue
            for end, far in ((one, other), (other, one)):
                if end.id not in link.open_at or not end.is_awake:
                    continue
                if link.queues[end.id] and not self._is_cut(one, other):
                    message = link.queues[end.id][0]
                    name = f"{far.name}->{end.name} {message.kind} {type(message.call.request).__name__}"
                    yield Event(name, partial(end.receive, link), (end,))
                if not (connected and link.is_open):
                    is_silent = self._is_cut(one, other) or far.is_frozen
                    yield Event(f"{end.name} loses {far.name}", partial(end.lose, far.id, is_silent), (end,))

    def _trainer_events(self) -> Iterator[Event]:
        for device in self.devices.values():
            operation = self.operation(device) if device.is_awake else None
            if operation is None:
                continue
            if self._can_complete(operation):
                due = self._begun.setdefault(operation, self.now) + _seconds(operation)
                yield Event(f"{device.name} {operation.kind} done", self.trainer(device).complete, (device,), due)
            if self._is_broken(device, operation):
                yield Event(f"{device.name} {operation.kind} broken", partial(self.fail, device), (device,))

    def _exits(self) -> Iterator[Event]:
        for device in self.devices.values():
            is_led = device.leading is not None and not device.leading.is_over
            if device.is_awake and device.closes_at is not None and not is_led:
                yield Event(f"{device.name} exits", device.crash, (device,))

    def operation(self, device: Device) -> Operation | None:
        part = device.member.part if device.member else None
        trainer = part.trainer if part else None
        return trainer.queue[0] if trainer and trainer.queue else None

    def trainer(self, device: Device) -> Trainer:
        assert device.member
        assert device.member.part
        assert device.member.part.trainer
        return device.member.part.trainer

    def _can_complete(self, operation: Operation) -> bool:
        meeting = operation.meeting
        if operation.kind == "join":
            return meeting.is_met
        if operation.kind == "take":
            return True
        return meeting.rounds.get(operation.number, set()) >= set(meeting.roster)

    def _is_broken(self, device: Device, operation: Operation) -> bool:
        meeting = operation.meeting
        if len(meeting.roster) == 1 or operation.kind == "take":  # nothing is exchanged
            return device.id in meeting.left
        if meeting.is_over or meeting.left & set(meeting.roster):
            return True
        others = (other for other in meeting.roster if other != device.id)
        return any(other not in device.links or device.id not in self.devices[other].links for other in others)

    def fail(self, device: Device) -> None:
        """The process group breaks at this device, as it sees it."""
        if self.operation(device):
            self.trainer(device).fail()

    def shut_down(self, device: Device) -> None:
        """The agent of a leader is ended in good order: the others lead on."""
        if device.leading and not device.leading.is_over and device.closes_at is None:
            device.closes_at = self.now + LEADER_CLOSE_SECONDS
            why = Sentence("the leader, {name}, is shutting down", name=device.name)
            device.leading.inbox.append(Lost(device=device.id, why=why))
            self.settle()

    # -- links ---------------------------------------------------------------------------------------------------------

    def _is_cut(self, one: Device, other: Device) -> bool:
        return (one.id in self.cut_off) != (other.id in self.cut_off)

    def _is_connected(self, one: Device, other: Device) -> bool:
        return one.is_awake and other.is_awake and not self._is_cut(one, other)

    def _connect(self, one: Device, other: Device) -> None:
        one.links[other.id] = other.links[one.id] = Link((one.id, other.id))

    def served(self, device: Device, call: Call) -> Work[None]:
        """Serve one request."""
        try:
            if isinstance(call.request, m.CompareRun):
                leading = device.leading
                if leading is None or leading.is_over:
                    raise UnknownNameError("this device does not lead the run")
                leads_on = leading.leads_on(call.request.term, call.request.last)
                device.answer(call, m.RunCompared(leads_on=leads_on))
            elif isinstance(call.request, m.HasState):
                device.answer(call, m.StateKnown(is_known=device.disk.has_state(call.request.state_hash)))
            else:
                device.member = device.member or Member(device)
                yield from device.member.serve(call)
            device.end(call)
        except CellmindError as error:
            device.end(call, error)
        finally:
            device.serving.pop(call, None)

    # -- what devices need of each other -------------------------------------------------------------------------------

    def meeting(self, leader: DeviceId, term: int) -> Meeting:
        return self._meetings[leader, term]

    def open_meeting(self, meeting: Meeting) -> None:
        for (leader, _), before in self._meetings.items():
            before.is_over |= leader == meeting.leader
        self._meetings[meeting.leader, meeting.term] = meeting

    def write(self, device: Device, event: StoryEvent) -> None:
        if not device.disk.is_full:
            device.disk.log.append(Noted(event=event, time=self.now))

    # -- leading -------------------------------------------------------------------------------------------------------

    def start(
        self, device: Device, roster: list[DeviceId], start: m.ModelView | None = None, newest_term: int = 0
    ) -> None:
        """As `Conductor.start`; the device must be the first of the roster."""
        assert roster[0] == device.id
        own = device.disk.view.term if device.disk.view else 0
        number = max(newest_term, own, device.last_own_term) + 1
        self._lead(device, tuple(self.seats[other] for other in roster), number, start, None)

    def take_over(self, device: Device, part: Part) -> None:
        """As `Conductor._take_over`."""
        others = (seat for seat in part.roster if seat.device not in (device.id, part.term.leader))
        number = max(part.newest_term, part.term.number, device.last_own_term) + 1
        why = Sentence("the leader, {name}, went away", name=part.term.leader[0])
        self.write(device, m.LeaderChanged(run=RUN, name=device.name, leader=device.id, term=number, why=why))
        self._lead(device, (self.seats[device.id], *others), number, part.start, why)

    def _lead(
        self,
        device: Device,
        roster: tuple[m.RosterMember, ...],
        number: int,
        start: m.ModelView | None,
        why: Sentence | None,
    ) -> None:
        term = m.Term(number=number, leader=device.id)
        leadership = Leadership(
            spec=self.spec, roster=roster, term=term, backend=BackendName("portable"), start=start, taken_over=why
        )
        device.leading = Leading(device, leadership, self.ledger)

    def has_ended(self, leading: Leading) -> bool:
        """Also by a crash."""
        return leading.is_over or leading.device.leading is not leading

    def resume(self, device: Device) -> bool:
        """As `Resuming`: from the newest checkpoint that is online. Returns whether the run is led again."""
        near = [device, *(self.devices[other] for other in sorted(device.links))]
        views = [self._view(one) for one in near]
        known = [view for view in views if view]
        if not known or any(map(is_under_way, known)) or not may_go_on(known):
            return False
        if any(one.leading and not one.leading.is_over for one in near):
            return False
        newest = newest_checkpoint(RUN, [(one.id, one.disk.models) for one in near])
        if newest is None or newest[1].step >= self.ledger.total_steps:
            return False
        self.start(device, [one.id for one in near], newest[1], max(view.term for view in known))
        return True

    def _view(self, device: Device) -> m.RunView | None:
        """As `Conductor._present`."""
        view = device.disk.view
        is_part = device.member is not None and device.member.part is not None
        return replace(view, state="failed") if view and is_under_way(view) and not is_part else view

    # -- the end -------------------------------------------------------------------------------------------------------

    def is_at_rest(self) -> bool:
        """Whether no device leads the run or takes part in it."""
        return not any(
            (device.leading and not device.leading.is_over) or (device.member and device.member.part)
            for device in self.devices.values()
        )

    def drain(self, most: int) -> bool:
        """Let everything happen in the order of time, `most` events at most. Returns whether the run came to rest."""
        for number in range(most):
            events, timed = self.events(), self.timed()
            late = [event for event in (*timed[:1], *events) if event.due <= self.now]
            if not late and not events and not timed:
                break
            event = late[number % len(late)] if late else min((*timed, *events), key=lambda event: event.due)
            self.now = max(self.now, event.due)
            self.happen(event)
        return self.is_at_rest()
