"""Links between simulated devices: in order, and lost together with all that is under way on them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId


@dataclass(slots=True, eq=False)
class Link:
    """The connection of two devices. Each end notices by itself that it is lost; until then messages may still come."""

    ends: tuple[DeviceId, DeviceId]
    open_at: set[DeviceId] = field(default_factory=set)
    queues: dict[DeviceId, deque[Message]] = field(default_factory=dict)  # by receiver

    def __post_init__(self) -> None:
        self.open_at = set(self.ends)
        self.queues = {end: deque() for end in self.ends}

    @property
    def is_open(self) -> bool:
        return len(self.open_at) == len(set(self.ends))

    def send(self, to: DeviceId, message: Message) -> None:
        self.queues[to].append(message)


@dataclass(slots=True, eq=False)
class Call:
    """A request of one device to another one, or to itself, and what has been answered so far."""

    request: Any
    asker: DeviceId
    answerer: DeviceId
    link: Link
    answers: deque[Any] = field(default_factory=deque)
    error: CellmindError | None = None
    is_over: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether the asker has something to take."""
        return self.is_over or bool(self.answers)

    def end(self, error: CellmindError | None = None) -> None:
        if not self.is_over:
            self.is_over, self.error = True, error


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    kind: Literal["request", "answer", "end", "cancel"]
    call: Call
    content: Any = None  # an answer, or the error that ends the call
