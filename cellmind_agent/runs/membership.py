"""The members of a run as its leader keeps them: who takes part, who could, and over which backend they meet."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning.backends import backend_with, needs_probe
from cellmind_agent.planning.recruits import recruits
from cellmind_agent.planning.roster import seat_of
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, SupersededError, UsageError
from cellmind_agent.protocol.ids import BackendName, DeviceId, RunId
from cellmind_agent.protocol.limits import CLAIM_PAUSE_SECONDS, CLAIM_SECONDS, PROBE_SECONDS, RECRUIT_SECONDS
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.members import LinkedMember, Member, OwnMember
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)
Views = Callable[[], Sequence[m.PeerView]]


@dataclass(slots=True, eq=False, kw_only=True)
class Stay:
    """One device in the run, from its admission until it is lost. A device that comes back has another stay."""

    seat: m.RosterMember
    member: Member
    is_first: bool  # it belongs to the first roster
    is_ready: bool = False

    @property
    def device(self) -> DeviceId:
        return self.seat.device


class Company:
    """The members of one run. `views` gives all devices of the cell, this one included."""

    def __init__(
        self,
        spec: m.RunSpec,
        device: DeviceId,
        first_roster: Sequence[m.RosterMember],
        backend: BackendName,
        peers: Peers,
        own: RunMember,
        views: Views,
    ) -> None:
        self._spec, self._device, self._peers, self._own, self._views = spec, device, peers, own, views
        self._first = frozenset(seat.device for seat in first_roster)
        self._backend, self._suits = backend, self._first  # the devices for which the backend was chosen
        self._is_lan_trusted = backend == "nccl" and len({seat.host for seat in first_roster}) > 1
        self._faults: dict[DeviceId, Sentence] = {}  # of gloo
        self._stays: dict[DeviceId, Stay] = {}
        self.is_closed = False  # nobody else can join
        self._tries: Counter[DeviceId] = Counter()

    @property
    def devices(self) -> tuple[DeviceId, ...]:
        """Those that take part or prepare."""
        return tuple(self._stays)

    def stay(self, device: DeviceId) -> Stay | None:
        return self._stays.get(device)

    def seats(self, devices: Iterable[DeviceId]) -> tuple[m.RosterMember, ...]:
        return tuple(self._stays[device].seat for device in devices if device in self._stays)

    def admit(self, seat: m.RosterMember) -> Stay:
        """The device takes part from now on, as soon as it is ready."""
        device = seat.device
        is_own = device == self._device
        member: Member = OwnMember(device, self._own) if is_own else LinkedMember(device, self._peers)
        is_first = device in self._first and not self._tries[device]
        stay = self._stays[device] = Stay(seat=seat, member=member, is_first=is_first)
        return stay

    def part_with(self, device: DeviceId) -> Stay:
        """The device takes part no longer."""
        self._tries[device] = max(1, self._tries[device])
        return self._stays.pop(device)

    def note_trained(self, roster: Iterable[DeviceId]) -> None:
        """These have trained a round, so what went wrong with them before is over."""
        for device in roster:
            if self._tries[device] > 1:
                self._tries[device] = 1

    def forgive(self, device: DeviceId) -> None:
        """That the device follows another leader is no fault of it: it may be asked again."""
        self._tries[device] = max(1, self._tries[device] - 1)

    # -- who could take part -------------------------------------------------------------------------------------------

    async def recruits(self) -> AsyncIterator[m.RosterMember]:
        """The devices that could take part, as they come, until cancelled."""
        while not self.is_closed:
            await asyncio.sleep(RECRUIT_SECONDS)
            for peer in recruits(self._views(), self._spec, self._stays.keys(), self._tries):
                self._tries[peer.id] += 1
                if await self._can_meet(peer) and not self.is_closed:
                    yield seat_of(peer)

    async def claim(self, stay: Stay, request: m.PrepareMember, is_taken_over: bool) -> AsyncIterator[m.MemberEvent]:
        """The member's stream. A member that still sees the lost leader is asked again, for CLAIM_SECONDS. Raises
        CellmindError, such as SupersededError when it follows another one."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + (CLAIM_SECONDS if is_taken_over and stay.is_first else 0.0)
        while True:
            try:
                async for event in stay.member.prepare(request):
                    yield event
                return
            except SupersededError:
                if stay.is_ready or clock() > deadline:
                    raise
            await asyncio.sleep(CLAIM_PAUSE_SECONDS)

    def backend_for(self, roster: Iterable[DeviceId]) -> BackendName:
        """The process group in which these can meet."""
        devices = frozenset(roster)
        if not devices <= self._suits:
            members = [peer for peer in self._views() if peer.id in devices]
            self._backend = self._backend_with(members)
            self._suits |= devices
        return self._backend

    async def _can_meet(self, peer: m.PeerView) -> bool:
        """Whether a process group exists for the present members and this device, which may have to try gloo first."""
        members = [other for other in self._views() if other.id in self._stays or other.id == peer.id]
        try:
            if self._backend == "gloo" and needs_probe(members, self._spec.backend, self._is_lan_trusted):
                fault = await self._gloo_fault(peer.id)
                if fault is not None:
                    self._faults[peer.id] = fault
            self._backend_with(members)
        except UsageError as error:
            _log.info("%s cannot take part in %s: %s", peer.name, self._spec.run, error)
            return False
        return True

    async def _gloo_fault(self, device: DeviceId) -> Sentence | None:
        try:
            answer = await self._peers.link(device).request(m.ProbeGloo(), PROBE_SECONDS)
        except CellmindError as error:
            return error.message
        return answer.fault

    def _backend_with(self, members: Sequence[m.PeerView]) -> BackendName:
        return backend_with(self._backend, members, self._spec.backend, self._faults, self._is_lan_trusted)

    # -- another leader ------------------------------------------------------------------------------------------------

    async def rival_that_leads_on(self, term: m.Term, last: m.LastCommit | None) -> DeviceId | None:
        """Another leader of this run that has committed more. Of the two, the one with the smaller id asks."""
        request = m.CompareRun(run=self._spec.run, term=term, last=last)
        for device in self._peers.online():
            if device < self._device:
                continue
            try:
                if (await self._peers.link(device).request(request)).leads_on:
                    return device
            except CellmindError as error:  # it does not lead the run
                _log.debug("%s does not compare %s: %s", self._peers.name(device), self._spec.run, error)
        return None

    async def keep_branch_aside(self, leader: DeviceId, state_hash: str) -> None:
        """Keep the committed state as another model, unless `leader` knows it as a part of the run's history."""
        run = self._spec.run
        if not state_hash:  # nothing was committed
            return
        try:
            request = m.HasState(run=run, state_hash=state_hash)
            if not (await self._peers.link(leader).request(request)).is_known:
                name = RunId(f"{run}-branch-{state_hash[:6]}")
                if await self._own.set_aside(run, name):
                    _log.info("%s: what was trained here apart from the others is kept as %s", run, name)
        except CellmindError as error:
            _log.warning("%s: what was trained here apart from the others is lost: %s", run, error)
