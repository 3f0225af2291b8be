"""How a simulated member notices that its leader is lost: the order of `runs/succession`."""

from __future__ import annotations

from cellmind_agent.planning.succession import seconds_to_lead
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import EXPECTED_LEADER_SECONDS, ORPHAN_SECONDS
from tests.planning.simulated.device import Device, Timer, Work
from tests.planning.simulated.part import Part


class Succession:
    """Watches the leader of the run in which this device takes part."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def is_present(self, leader: DeviceId | None) -> bool:
        return leader == self._device.id or (leader is not None and self._device.is_online(leader))

    def until_leaderless(self, part: Part, result: list[bool]) -> Work[None]:
        """As `Succession.until_leaderless`."""
        device = self._device
        while True:
            lost = part.term.leader
            yield lambda: part.leader is None or not self.is_present(part.leader) or not self._is_link_open(part)
            is_silent = lost in device.silent
            part.leader = None
            part.leave_group(device.id)
            lost_at = device.cell.now
            timers = (
                device.timer("lead", lambda: self._due_to_lead(part, lost, lost_at, is_silent)),  # noqa: B023
                device.timer("give the run up", lambda: lost_at + ORPHAN_SECONDS),  # noqa: B023
            )
            try:
                yield from self._find_leader(part, timers)
            finally:
                for timer in timers:
                    device.forget(timer)
            if part.leader is None:
                result.append(True)
                return

    def _find_leader(self, part: Part, timers: tuple[Timer, Timer]) -> Work[None]:
        lead, orphaned = timers
        yield lambda: part.leader is not None or lead.has_fired or orphaned.has_fired
        if part.leader is None and lead.has_fired:
            self._device.cell.take_over(self._device, part)
            yield lambda: part.leader is not None

    def _due_to_lead(self, part: Part, lost: DeviceId, lost_at: float, is_silent: bool) -> float | None:
        roster = [seat.device for seat in part.roster if seat.device != lost]
        if self._device.id not in roster or not part.may_lead or part.leader is not None:
            return None
        wait = seconds_to_lead(self._device.id, roster, set(self._device.links), is_silent)
        is_back = not part.has_leader_left and self._device.is_online(lost)
        if part.expected_leader is not None or is_back:
            wait += EXPECTED_LEADER_SECONDS
        return lost_at + wait

    def _is_link_open(self, part: Part) -> bool:
        return part.leader == self._device.id or self._device.id in part.link.open_at
