"""A simulated trainer. Its weights are the hash of their history: the steps, and who took them with which others."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from cellmind_agent.protocol.errors import CellmindError, GroupBrokenError
from cellmind_agent.protocol.ids import DeviceId

FRESH = hashlib.sha256(b"fresh").hexdigest()


class Made(NamedTuple):
    """How a state was made."""

    before: str
    first_step: int
    step: int


class States:
    """Every state that any trainer has made, with its history. A sum depends on its order, and so on the roster."""

    def __init__(self) -> None:
        self._made: dict[str, Made] = {}

    def trained(self, state: str, first_step: int, num_steps: int, roster: tuple[DeviceId, ...], flaw: str = "") -> str:
        """The state after these steps; without steps it stays the same. `flaw` is a flipped bit: not in a round without
        steps, since a trainer finds its states by their steps alone."""
        if not num_steps:
            return state
        names = "".join(device[0] for device in roster)
        made = hashlib.sha256(f"{state} {first_step} {num_steps} {names} {flaw}".encode()).hexdigest()
        self._made[made] = Made(state, first_step, first_step + num_steps)
        return made

    def averaged(self, before: str, first_step: int, shares: dict[DeviceId, tuple[int, ...]], flaw: str) -> str:
        """The state in which the members of a local round have averaged what each has done. Every step counts once
        (I2)."""
        steps = sorted(step for own in shares.values() for step in own)
        assert steps == list(range(first_step, first_step + len(steps))), f"the members took {shares}"
        names = " ".join(f"{device[0]}{own}" for device, own in sorted(shares.items()))
        made = hashlib.sha256(f"{before} {first_step} {names} {flaw}".encode()).hexdigest()
        self._made[made] = Made(before, first_step, first_step + len(steps))
        return made

    def history(self, state: str) -> list[tuple[str, Made]]:
        """Every round with steps that has led to this state, the first one first."""
        found = []
        while state in self._made:
            found.append((state, self._made[state]))
            state = self._made[state].before
        assert state == FRESH
        return found[::-1]


@dataclass(slots=True, eq=False)
class Meeting:
    """The process group of one term. Its store is with the leader."""

    leader: DeviceId
    term: int
    roster: tuple[DeviceId, ...]
    is_over: bool = False  # the leader has begun another term
    arrived: set[DeviceId] = field(default_factory=set)
    left: set[DeviceId] = field(default_factory=set)
    sent: tuple[str, int] | None = None  # the state and its step, once all have met
    rounds: dict[int, set[DeviceId]] = field(default_factory=dict)  # who has begun to train the round of this number
    own_steps: dict[int, dict[DeviceId, tuple[int, ...]]] = field(default_factory=dict)  # and taken these steps alone

    @property
    def is_met(self) -> bool:
        return self.sent is not None


@dataclass(slots=True, eq=False)
class Operation:
    """What the agent has asked its trainer to do."""

    kind: Literal["join", "train", "take", "average", "alone"]
    meeting: Meeting
    step: int  # at its beginning
    state: str = ""  # wanted
    is_holder: bool = False
    keeps_steps: bool = False
    num_steps: int = 0
    first_step: int = 0  # of the steps to take
    number: int = 0  # of the round
    is_begun: bool = False
    is_done: bool = False
    answer: str = ""
    error: CellmindError | None = None


@dataclass(slots=True, eq=False)
class Trainer:
    """What `model.train` does, one operation after the other. `step` is None in the middle of a round."""

    device: DeviceId
    states: States
    state: str
    step: int | None
    kept: tuple[str, int] | None = None
    meeting: Meeting | None = None
    queue: deque[Operation] = field(default_factory=deque)
    is_dead: bool = False
    flaw: str = ""  # of the next steps
    round: Made | None = None  # the local round that is under way or was the last one: the state before it, its step
    own_steps: tuple[int, ...] = ()  # what this trainer has taken in it

    @property
    def held(self) -> dict[int, str]:
        """The states to which it can go back, by their steps."""
        found = {self.kept[1]: self.kept[0]} if self.kept else {}
        return found if self.step is None else {**found, self.step: self.state}

    def ask(self, operation: Operation) -> Operation:
        self.queue.append(operation)
        self._begin()
        return operation

    def complete(self) -> None:
        """The operation under way succeeds."""
        operation = self.queue.popleft()
        meeting = operation.meeting
        if operation.kind == "train":
            roster = meeting.roster
            self.state = self.states.trained(self.state, operation.step, operation.num_steps, roster, self.flaw)
            self.step, self.flaw = operation.step + operation.num_steps, ""
        elif operation.kind == "take":
            first = operation.first_step
            self.own_steps += tuple(range(first, first + operation.num_steps))
        elif operation.kind == "average":
            assert self.round
            shares = meeting.own_steps[operation.number]
            assert sum(map(len, shares.values())) == operation.num_steps, f"{shares} are not the round"
            self.state = self.states.averaged(self.round.before, operation.step, shares, self.flaw)
            self.step, self.flaw = operation.step + operation.num_steps, ""
        elif operation.keeps_steps:
            self._continue_round(operation.step)
        else:
            if not operation.is_holder:
                assert meeting.sent
                (self.state, self.step), self.kept = meeting.sent, None
            if len(meeting.roster) == 1:
                self.kept = None
        operation.is_done, operation.answer = True, self.state
        self._begin()

    def fail(self) -> None:
        """The operation under way fails, because another rank is gone. All that wait for this one fail too."""
        operation = self.queue.popleft()
        if operation.kind == "join" and operation.meeting.is_met and not operation.is_holder:
            self.step = None
        self._leave()
        operation.is_done, operation.error = True, GroupBrokenError("the group is broken")
        self._begin()

    def die(self, why: str) -> None:
        self.is_dead = True
        self._leave()
        for operation in self.queue:
            operation.is_done, operation.error = True, CellmindError(why)
        self.queue.clear()

    def _leave(self) -> None:
        if self.meeting:
            self.meeting.left.add(self.device)
            self.meeting = None

    def _begin(self) -> None:
        if self.is_dead or not self.queue or self.queue[0].is_begun:
            return
        operation = self.queue[0]
        operation.is_begun = True
        if operation.kind == "train":
            self._begin_round(operation)
            return
        if operation.kind in ("take", "average"):
            self._begin_local_round(operation)
            return
        self._leave()
        if operation.is_holder and not operation.keeps_steps:
            if operation.step not in self.held:
                raise AssertionError(f"{self.device[0]} does not hold the state after step {operation.step}")
            self.state, self.step, self.round = self.held[operation.step], operation.step, None
            assert self.state == operation.state, f"{self.device[0]} holds another state after step {self.step}"
        if operation.kind == "alone":
            self.complete()
            return
        self.meeting = operation.meeting
        self._arrive(operation)

    def _arrive(self, operation: Operation) -> None:
        meeting = operation.meeting
        meeting.arrived.add(self.device)
        if meeting.arrived >= set(meeting.roster):
            meeting.sent = operation.state, operation.step

    def _begin_round(self, operation: Operation) -> None:
        if self.meeting is not operation.meeting:
            operation.meeting.left.add(self.device)
        assert self.step == operation.step, f"{self.device[0]} is at step {self.step}, not {operation.step}"
        if len(operation.meeting.roster) > 1:
            self.kept = self.state, operation.step
        self.step, self.round = None, None
        operation.meeting.rounds.setdefault(operation.number, set()).add(self.device)

    def _continue_round(self, step: int) -> None:
        if self.step == step:
            return
        assert self.round, f"{self.device[0]} is in no local round"
        assert self.round.first_step == step, f"{self.device[0]} is in the round after {self.round}, not {step}"
        self.state, self.step = self.round.before, None

    def _begin_local_round(self, operation: Operation) -> None:
        if self.step is not None:
            assert self.step == operation.step, f"{self.device[0]} is at step {self.step}, not {operation.step}"
            self.kept = self.state, operation.step
            self.round, self.own_steps, self.step = Made(self.state, operation.step, operation.step), (), None
        assert self.round, f"{self.device[0]} has given its round up"
        assert self.round.first_step == operation.step, f"{self.device[0]} is in another round"
        if operation.kind == "average":
            if self.meeting is not operation.meeting:
                operation.meeting.left.add(self.device)
            operation.meeting.rounds.setdefault(operation.number, set()).add(self.device)
            operation.meeting.own_steps.setdefault(operation.number, {})[self.device] = self.own_steps
