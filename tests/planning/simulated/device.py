"""A simulated device: its disk, its links, and the tasks of its agent, each of which waits for a condition."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from cellmind_agent.planning.lineage import Noted
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import LinkLostError, UnreachableError
from cellmind_agent.protocol.ids import DeviceId
from tests.planning.simulated.wires import Call, Link, Message

if TYPE_CHECKING:
    from tests.planning.simulated.cell import SimulatedCell
    from tests.planning.simulated.leading import Leading
    from tests.planning.simulated.member import Member

X = TypeVar("X")
Work: TypeAlias = Generator[Callable[[], bool], None, X]  # it goes on when what it yields is true


@dataclass(slots=True, eq=False)
class Task:
    work: Work[None]
    until: Callable[[], bool] = lambda: True
    is_over: bool = False

    def cancel(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.work.close()


@dataclass(slots=True, eq=False)
class Timer:
    """Something that happens after some time: at `due` by the cell's clock. None: not as things are now."""

    name: str
    due: Callable[[], float | None]
    has_fired: bool = False

    def fire(self) -> None:
        self.has_fired = True


@dataclass(slots=True, kw_only=True)
class Disk:
    """What survives a crash."""

    view: m.RunView | None = None
    last: m.LastCommit | None = None
    log: list[Noted] = field(default_factory=list)
    models: list[m.ModelView] = field(default_factory=list)
    branches: list[str] = field(default_factory=list)  # states that were kept aside
    is_full: bool = False

    def has_state(self, state: str) -> bool:
        """As `Journal.has_state`."""
        committed = (noted.event for noted in self.log if isinstance(noted.event, m.RoundCommitted))
        is_last = self.last is not None and self.last.state_hash == state
        return is_last or any(event.state_hash == state for event in committed)


class Device:
    """One device of the cell. `member` and `leading` are its memory."""

    def __init__(self, device: DeviceId, cell: SimulatedCell) -> None:
        self.id, self.name, self.cell = device, device[0], cell
        self.disk = Disk()
        self.is_up, self.is_frozen = True, False
        self.closes_at: float | None = None  # in good order
        self.links: dict[DeviceId, Link] = {}
        self.silent: set[DeviceId] = set()  # whose link was lost by silence
        self.tasks: list[Task] = []
        self.timers: list[Timer] = []
        self.waiting: list[Call] = []
        self.serving: dict[Call, Task] = {}
        self.own_link = Link((device, device))
        self.member: Member | None = None
        self.leading: Leading | None = None
        self.last_own_term = 0  # as `Stores.last_term`

    @property
    def is_awake(self) -> bool:
        return self.is_up and not self.is_frozen

    # -- tasks ---------------------------------------------------------------------------------------------------------

    def start(self, work: Work[None]) -> Task:
        task = Task(work)
        self.tasks.append(task)
        return task

    def run(self) -> bool:
        """Go on with each task that can. Returns whether there was one."""
        has_run = False
        for task in list(self.tasks):
            if task.is_over:
                continue
            if task.until():
                has_run = True
                try:
                    task.until = next(task.work)
                except StopIteration:
                    task.is_over = True
        self.tasks = [task for task in self.tasks if not task.is_over]
        return has_run

    def timer(self, name: str, due: Callable[[], float | None]) -> Timer:
        timer = Timer(name, due)
        self.timers.append(timer)
        return timer

    def forget(self, timer: Timer) -> None:
        if timer in self.timers:
            self.timers.remove(timer)

    # -- links ---------------------------------------------------------------------------------------------------------

    def is_online(self, other: DeviceId) -> bool:
        """Whether this device believes so."""
        return other in self.links

    def ask(self, other: DeviceId, request: object) -> Call:
        """Raises UnreachableError."""
        link = self.own_link if other == self.id else self.links.get(other)
        if link is None:
            raise UnreachableError("{name} cannot be reached now", name=other[0])
        call = Call(request, self.id, other, link)
        self.waiting.append(call)
        self._send(other, Message("request", call))
        return call

    def leave(self, call: Call) -> None:
        """The asker waits for no more answers."""
        if call in self.waiting:
            self.waiting.remove(call)
        if not call.is_over:
            call.end()
            if self.id in call.link.open_at:
                self._send(call.answerer, Message("cancel", call))

    def answer(self, call: Call, content: object) -> None:
        self._reply(call, Message("answer", call, content))

    def end(self, call: Call, error: object = None) -> None:
        self._reply(call, Message("end", call, error))

    def receive(self, link: Link) -> None:
        """Take the next message of a link."""
        self.hear(link.queues[self.id].popleft())

    def hear(self, message: Message) -> None:
        """Take a message that has arrived."""
        call = message.call
        match message.kind:
            case "request":
                self.serving[call] = self.start(self.cell.served(self, call))
            case "cancel":
                task = self.serving.pop(call, None)
                if task:
                    task.cancel()
            case "answer" if not call.is_over:
                call.answers.append(message.content)
            case "end":
                call.end(message.content)

    def lose(self, other: DeviceId, is_silent: bool) -> None:
        """Notice that the link to another device is lost."""
        link = self.links.pop(other)
        link.open_at.discard(self.id)
        link.queues[self.id].clear()
        self.silent.discard(other)
        if is_silent:
            self.silent.add(other)
        for call in [call for call in self.waiting if call.link is link]:
            self.waiting.remove(call)
            call.end(LinkLostError("the link to {name} was lost", name=other[0]))

    def crash(self) -> None:
        """The memory is gone, and the disk stays."""
        self.is_up = self.is_frozen = False
        self.closes_at = None
        for link in self.links.values():
            link.open_at.discard(self.id)
            link.queues[self.id].clear()
        self.links.clear()
        self.silent.clear()
        tasks, self.tasks = self.tasks, []
        self.timers, self.waiting, self.serving = [], [], {}
        if self.member and self.member.part and self.member.part.trainer:
            self.member.part.trainer.die("the device is off")
        self.member, self.leading, self.last_own_term = None, None, 0
        self.own_link = Link((self.id, self.id))
        for task in tasks:
            task.cancel()

    def _reply(self, call: Call, message: Message) -> None:
        if self.is_up and self.id in call.link.open_at:
            self._send(call.asker, message)

    def _send(self, other: DeviceId, message: Message) -> None:
        if other == self.id:
            self.hear(message)  # no link in between
        elif other in message.call.link.queues:
            message.call.link.send(other, message)
