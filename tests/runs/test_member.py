"""Taking part in a run: how it ends is recorded as the leader says, and one leader at a time may direct a member."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cellmind_agent.config import Politeness
from cellmind_agent.device.power import Power
from cellmind_agent.network.wakefulness import Wakefulness
from cellmind_agent.planning.ledger import first_view
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, SupersededError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.pacing import Pacing
from cellmind_agent.runs.participation import Participation
from cellmind_agent.runs.succession import Succession
from cellmind_agent.runs.taking_part import TakingPart
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller
from model.line.declare import Done
from model.line.training import TrainerReady
from tests.protocol.examples import LAST, MODEL, SPEC

ME, LEADER, OTHER = (DeviceId(letter * 32) for letter in "bcd")
ROSTER = tuple(m.RosterMember(device=device, name=device[:1]) for device in (LEADER, OTHER, ME))


class EndlessTransfer:
    """Stands in for Transfer, and never ends."""

    async def fetch(self, *_: Any, **__: Any) -> int:
        await asyncio.Event().wait()
        return 0


class NoTunnels:
    """Stands in for Tunnels, and carries nothing."""

    def begin(self, *_: object) -> None: ...
    def cut_term(self, *_: object) -> None: ...
    def end(self, *_: object) -> None: ...
    def sent_bytes(self) -> int:
        return 0


class ObedientTrainer:
    """Stands in for ChildProcess, and does all that it is asked."""

    is_running = True

    async def call(self, *_: object) -> Done:
        return Done()

    async def stop(self) -> None: ...


class FakePeers:
    """Stands in for Peers: who is online is set by the test."""

    def __init__(self) -> None:
        self.present = {LEADER, OTHER}
        self.wakefulness = Wakefulness()
        self._left = asyncio.Event()

    def leave(self, device: DeviceId) -> None:
        self.present.remove(device)
        self._left.set()

    def online(self) -> list[DeviceId]:
        return sorted(self.present)

    def name(self, device: DeviceId) -> str:
        return device[:1]

    def is_silent(self, device: DeviceId) -> bool:
        return False

    async def until_absent(self, device: DeviceId) -> None:
        while device in self.present:
            self._left.clear()
            await self._left.wait()


def asked_by(device: DeviceId) -> Caller:
    return Caller(kind="member", curve_key=b"", device=device, host="")


def prepare_by(leader: DeviceId, term: int) -> m.PrepareMember:
    return m.PrepareMember(spec=SPEC, term=m.Term(number=term, leader=leader), roster=ROSTER)


def play(tmp_path: Path, scene: Callable[[RunMember, FakePeers, Journal], Awaitable[None]]) -> None:
    async def run() -> None:
        journal, peers, tunnels, transfer = Journal(tmp_path), FakePeers(), NoTunnels(), EndlessTransfer()
        fakes: Any = (peers, tunnels, transfer)
        succession = Succession(ME, fakes[0])
        nothing: Any = None
        trainer = TakingPart(
            ME,
            succession,
            fakes[2],
            fakes[1],
            nothing,
            journal,
            nothing,
            lambda work, speed: None,
            Pacing(Politeness(), Power),
            list,
        )
        member = RunMember(ME, fakes[0], fakes[1], nothing, journal, succession, trainer)
        try:
            await scene(member, peers, journal)
        finally:
            await member.close()

    asyncio.run(run())


async def follow(member: RunMember, leader: DeviceId, term: int) -> asyncio.Future[Any]:
    """The first report, which never comes; an error comes at once."""
    stream = member.prepare(prepare_by(leader, term), asked_by(leader))
    preparing = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.02)
    if preparing.done():
        preparing.result()
    return preparing


def test_a_run_that_is_stopped_while_blobs_are_fetched_is_stopped_and_not_failed(tmp_path: Path) -> None:
    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        preparing = await follow(member, LEADER, 1)
        await member.dismiss(m.DismissMember(run=SPEC.run, state="stopped"), asked_by(LEADER))
        preparing.cancel()
        await asyncio.wait({preparing})
        assert member.run is None
        assert journal.load_run(SPEC.run)[1].state == "stopped"

    play(tmp_path, scene)


def test_a_member_does_not_leave_a_leader_that_is_still_there(tmp_path: Path) -> None:
    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        preparing = await follow(member, LEADER, 1)
        with pytest.raises(SupersededError, match="still leads"):
            await follow(member, OTHER, 2)
        peers.leave(LEADER)
        await asyncio.sleep(0.05)
        following = await follow(member, OTHER, 2)
        view = journal.load_run(SPEC.run)[1]
        assert (view.leader, view.term) == (OTHER, 2)
        with pytest.raises(SupersededError):  # the old one has woken up
            await member.dismiss(m.DismissMember(run=SPEC.run, state="failed"), asked_by(LEADER))
        with pytest.raises(SupersededError, match="is over"):
            await follow(member, LEADER, 1)
        with pytest.raises(SupersededError):
            await preparing
        following.cancel()

    play(tmp_path, scene)


def test_a_leader_that_ends_its_stream_leads_no_longer_and_may_still_dismiss(tmp_path: Path) -> None:
    """A device that it admitted at the last moment would else follow it for ever."""

    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        (await follow(member, LEADER, 1)).cancel()
        await asyncio.sleep(0.02)
        following = await follow(member, OTHER, 2)  # though LEADER is online
        following.cancel()
        await asyncio.sleep(0.02)
        await member.dismiss(m.DismissMember(run=SPEC.run, state="stopped"), asked_by(OTHER))
        assert member.run is None

    play(tmp_path, scene)


def test_a_device_that_slept_while_it_prepared_follows_the_same_leader_in_the_same_term(tmp_path: Path) -> None:
    """Without it the leader has formed no other group, so its term is the same."""

    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        first = await follow(member, LEADER, 2)
        with pytest.raises(SupersededError, match="is over"):
            await follow(member, LEADER, 2)
        first.cancel()
        await asyncio.sleep(0.02)
        second = await follow(member, LEADER, 2)
        await asyncio.sleep(0.02)
        assert not second.done()
        await member.dismiss(m.DismissMember(run=SPEC.run, state="stopped"), asked_by(LEADER))
        second.cancel()

    play(tmp_path, scene)


def test_a_finished_run_does_not_begin_again_under_a_leader_that_was_away(tmp_path: Path) -> None:
    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        view = first_view(SPEC, ROSTER, None, m.Term(number=1, leader=LEADER))
        journal.save_run(SPEC, replace(view, state="finished", step=MODEL.step))
        with pytest.raises(CellmindError, match="has finished"):
            await follow(member, LEADER, 9)
        assert member.run is None
        assert journal.load_run(SPEC.run)[1].state == "finished"
        # A person may let a run go on from its last checkpoint that has ended early.
        request = replace(prepare_by(LEADER, 9), start=MODEL)
        preparing = asyncio.ensure_future(anext(member.prepare(request, asked_by(LEADER))))
        await asyncio.sleep(0.02)
        assert member.run == SPEC.run
        preparing.cancel()

    play(tmp_path, scene)


def test_a_leader_that_leaves_names_the_next_one(tmp_path: Path) -> None:
    """Also one of a lower term: a part of the cell that was cut off has given its own lineage up."""

    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        preparing = await follow(member, LEADER, 5)
        leaving = m.ReplaceLeader(run=SPEC.run, why=SPEC.run, leader=OTHER)  # type: ignore[arg-type] # any text
        await member.replace_leader(leaving, asked_by(LEADER))
        following = await follow(member, OTHER, 3)
        assert journal.load_run(SPEC.run)[1].leader == OTHER
        for task in (preparing, following):
            task.cancel()

    play(tmp_path, scene)


def test_a_device_leads_in_its_own_terms_only(tmp_path: Path) -> None:
    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        stream = member.prepare(prepare_by(LEADER, 1), asked_by(OTHER))
        with pytest.raises(NotAllowedError):
            await anext(stream)
        assert member.run is None
        request = replace(prepare_by(LEADER, 1), roster=ROSTER[:2])
        with pytest.raises(Exception, match="not in the roster"):
            await anext(member.prepare(request, asked_by(LEADER)))

    play(tmp_path, scene)


def test_the_next_in_the_roster_leads_when_it_holds_the_state(tmp_path: Path) -> None:
    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        claims: list[str] = []
        member.succession.take_over = lambda part, why: claims.append(str(why))
        preparing = await follow(member, LEADER, 1)
        peers.leave(OTHER)
        peers.leave(LEADER)
        await asyncio.sleep(0.6)
        assert claims == []  # its trainer has not started yet
        preparing.cancel()

    play(tmp_path, scene)


def test_a_newcomer_can_lead_as_soon_as_it_has_the_state(tmp_path: Path) -> None:
    """The others may die before its first commit."""
    ready = TrainerReady(device_kind="cpu", state_hash="start")
    group = m.FormGroup(
        run=SPEC.run, term=4, roster=ROSTER, backend=BackendName("gloo"), step=LAST.step, state_hash=LAST.state_hash,
        holders=(0,), last=LAST,
    )  # fmt: skip

    async def scene(member: RunMember, peers: FakePeers, journal: Journal) -> None:
        preparing = await follow(member, LEADER, 3)
        part: Any = member._part
        part.child, part.ready, part.present_state = ObedientTrainer(), ready, ready.state_hash
        await member.rounds.form_group(group, asked_by(LEADER))
        assert part.may_lead
        assert journal.last_commit(SPEC.run) == LAST
        preparing.cancel()

    play(tmp_path, scene)


def test_a_device_that_knows_no_commit_leads_only_from_the_start() -> None:
    """It may have received a state of another step, and would train the first samples on it."""
    term = m.Term(number=1, leader=LEADER)
    part = Participation(
        spec=SPEC, start=None, view=first_view(SPEC, ROSTER, None, term), term=term, followed=term, roster=ROSTER,
        leader=LEADER,
    )  # fmt: skip
    assert not part.may_lead
    part.ready, part.present_state = TrainerReady(device_kind="cpu", state_hash="start"), "received"
    assert not part.may_lead
    part.present_state, part.kept_state = "trained", "start"
    assert part.may_lead
