"""What a simulated device remembers of the run in which it takes part."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId
from tests.planning.simulated.trainer import Meeting, Operation, Trainer
from tests.planning.simulated.wires import Link


@dataclass(slots=True, kw_only=True, eq=False)
class Part:
    """As `runs/participation.Participation`; what is not said here is as there."""

    start: m.ModelView | None
    view: m.RunView
    term: m.Term
    roster: tuple[m.RosterMember, ...]
    leader: DeviceId | None
    link: Link
    last: m.LastCommit | None
    newest_term: int
    expected_leader: DeviceId | None = None
    has_leader_left: bool = False
    group: Meeting | None = None
    turn: deque[object] = field(default_factory=deque)
    trainer: Trainer | None = None
    is_ready: bool = False
    start_state: str = ""
    present_state: str | None = None
    kept_state: str | None = None
    taking: Operation | None = None
    is_dismissed: bool = False
    is_over: bool = False

    @property
    def held_states(self) -> tuple[str, ...]:
        return tuple(state for state in (self.present_state, self.kept_state) if state)

    @property
    def may_lead(self) -> bool:
        return self.is_ready and (self.last.state_hash if self.last else self.start_state) in self.held_states

    def leave_group(self, device: DeviceId) -> None:
        """Its tunnels are cut: what the trainer of this device exchanges with the others fails."""
        if self.group:
            self.group.left.add(device)
            self.group = None
