"""This device's part in one run: what it is, which blobs it needs, and which samples of a round are its own. No I/O."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cellmind_agent.planning.ledger import ledger_of
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.limits import (
    GROUP_SECONDS,
    MAX_ROUND_STEPS,
    RENDEZVOUS_SECONDS,
    ROUND_PATIENCE_SECONDS,
)
from cellmind_agent.runs.process import ChildProcess
from model.line.checkpoint import CheckpointPaths
from model.line.sentence import Sentence
from model.line.training import JoinGroup, PrepareTrainer, Span, StepsTrained, TrainerReady


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlace:
    """This device's place in a process group."""

    term: int
    rank: int
    roster: tuple[m.RosterMember, ...]

    def rank_of(self, device: DeviceId | None) -> int | None:
        """The device's rank; None if it is not in this group."""
        return next((rank for rank, member in enumerate(self.roster) if member.device == device), None)


@dataclass(slots=True, kw_only=True)
class Participation:
    """The run that this device takes part in now. `touch` must be called after a change that others wait for."""

    spec: m.RunSpec
    start: m.ModelView | None
    view: m.RunView
    term: m.Term  # of the leader that this device follows, or followed last
    roster: tuple[m.RosterMember, ...]
    followed: m.Term  # as that leader began it
    leader: DeviceId | None  # None: the leader is lost, and no other one has come yet
    channel: object = None  # the connection on which the leader asked
    expected_leader: DeviceId | None = None  # named by the one that left
    has_leader_left: bool = False  # in good order, and was not lost
    last: m.LastCommit | None = None
    backend: BackendName | None = None  # of the last group
    group: GroupPlace | None = None  # None: before the first group, and between two
    newest_term: int = 0  # of the groups that the leader has asked for
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # the trainer does one thing at a time
    child: ChildProcess | None = None
    ready: TrainerReady | None = None  # None: the trainer has not started yet
    present_state: str | None = None  # the hash of the trainer's weights; None: in the middle of a round
    kept_state: str | None = None  # to which it can go back
    sent_bytes_before: int = 0  # what this device's tunnels had sent before the run
    tokens_per_second: float | None = None
    is_dismissed: bool = False
    is_over: bool = False
    problem: Sentence | None = None  # why this device leaves or has left, if it was not dismissed
    dealt: int | None = None  # in a local round: the first of the steps that the trainer is taking
    progress: asyncio.Queue[m.MemberProgressed] = field(default_factory=asyncio.Queue)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def held_states(self) -> tuple[str, ...]:
        """The states from which the trainer can go on."""
        return tuple(state for state in (self.present_state, self.kept_state) if state)

    @property
    def may_lead(self) -> bool:
        """Whether the run can go on from what this device holds: from the last commit that it knows, or the start."""
        if self.ready is None:
            return False
        return (self.last.state_hash if self.last else self.ready.state_hash) in self.held_states

    def end_following(self, term: m.Term) -> None:
        """The leader has ended the stream in which it named this term: it leads no longer, or does without this device.

        The same leader may have begun another stream, with an equal term.
        """
        if self.followed is term and self.leader is not None:
            self.leader = None
            self.touch()

    def touch(self) -> None:
        """Let those look again that wait."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, is_true: Callable[[], bool], seconds: float | None = None) -> None:
        """Return when `is_true`, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not is_true():
                    await self._changed.wait()


def members_here(roster: tuple[m.RosterMember, ...], device: DeviceId) -> int:
    """How many members of the run share this device's machine, this one included."""
    host = next(member.host for member in roster if member.device == device)
    return sum(member.host == host for member in roster)


def needed_blobs(spec: m.RunSpec, start: m.ModelView | None) -> list[BlobRef]:
    """Every blob that a member of the run must hold before its trainer starts."""
    resumed = list(start.files.values()) if start else []
    return [spec.config, spec.tokenizer, spec.manifest, *spec.shards, *resumed]


def place_in(request: m.FormGroup, device: DeviceId) -> GroupPlace:
    """The place of `device` in the group. Raises ProtocolError if it has none."""
    for rank, member in enumerate(request.roster):
        if member.device == device:
            return GroupPlace(term=request.term, rank=rank, roster=request.roster)
    raise ProtocolError("this device is not in the roster of the group")


def joining(place: GroupPlace, request: m.FormGroup, mode: m.RunMode) -> JoinGroup:
    """What the trainer needs to join the group. Raises ProtocolError if nobody in it holds the state."""
    if not request.holders or not all(0 <= rank < len(place.roster) for rank in request.holders):
        raise ProtocolError("no member of the group holds the state")
    here = place.roster[place.rank].host
    return JoinGroup(
        rank=place.rank,
        size=len(place.roster),
        backend=request.backend,
        step=request.step,
        holders=request.holders,
        near=tuple(other for other, member in enumerate(place.roster) if other != place.rank and member.host == here),
        rendezvous_seconds=RENDEZVOUS_SECONDS,
        # The average of a local round takes long on a slow network; but less long than the agents wait for it, so that
        # a rank which is stuck breaks the group.
        patience_seconds=ROUND_PATIENCE_SECONDS / 2 if mode == "local" else RENDEZVOUS_SECONDS,
        keeps_steps=request.keeps_steps,
    )


def alone(last: m.LastCommit) -> JoinGroup:
    """What the trainer needs to go back to a committed state, and to be in no process group."""
    return JoinGroup(
        rank=0, size=1, backend="gloo", step=last.step, holders=(0,), near=(), rendezvous_seconds=RENDEZVOUS_SECONDS
    )


def seconds_to_join(request: m.FormGroup) -> float:
    """How long the members wait for the group: the state may have to cross a slow network first."""
    return GROUP_SECONDS if len(request.holders) == len(request.roster) else ROUND_PATIENCE_SECONDS


def trainer_parameters(
    part: Participation,
    device: DeviceId,
    path_of: Callable[[BlobRef], Path],
    folder: Path,
    tuning: Path,
    resume_from: CheckpointPaths | None,
) -> PrepareTrainer:
    """What the trainer needs to start. A peer never names a path: it names blobs, and `path_of` finds them here."""
    spec = part.spec
    rank = [member.device for member in part.roster].index(device)
    return PrepareTrainer(
        run=spec.run,
        rank=rank,
        size=len(part.roster),
        members_here=members_here(part.roster, device),
        total_steps=part.view.total_steps,
        config=str(path_of(spec.config)),
        tokenizer=str(path_of(spec.tokenizer)),
        manifest=str(path_of(spec.manifest)),
        shards=tuple(str(path_of(ref)) for ref in spec.shards),
        folder=str(folder),
        tuning=str(tuning),
        mode=spec.mode,
        resume_from=resume_from,
    )


def own_spans(spec: m.RunSpec, rank: int, request: m.TrainRound) -> tuple[Span, ...]:
    """The samples of `rank` in each step of a round, as positions in the epoch's order. Raises ProtocolError."""
    ledger = ledger_of(spec)
    if not 0 <= rank < len(request.shares):
        raise ProtocolError("the round has no share for rank {rank}", rank=rank)
    if request.num_steps == 0:
        return ()
    is_divided = min(request.shares) >= 0 and sum(request.shares) == ledger.batch_samples
    if not (is_divided and 0 < request.num_steps <= MAX_ROUND_STEPS):
        raise ProtocolError("the shares do not divide the round")
    divided = ledger.divide(request.first_step, request.num_steps, request.shares)
    return tuple(Span(epoch=epoch, start=parts[rank][0], stop=parts[rank][1]) for epoch, parts in divided)


def dealt_spans(spec: m.RunSpec, request: m.DealSteps) -> tuple[Span, ...]:
    """All samples of each dealt step. Raises ProtocolError."""
    ledger = ledger_of(spec)
    first, stop = request.first_step, request.stop
    if not (0 <= request.round_step <= first < stop <= ledger.total_steps and stop - first <= MAX_ROUND_STEPS):
        raise ProtocolError("the run has no such steps")
    batches = (ledger.batch(step) for step in range(first, stop))
    return tuple(Span(epoch=epoch, start=start, stop=end) for epoch, start, end in batches)


def result_of(trained: StepsTrained) -> m.RoundTrained:
    """What the leader learns of a trained round."""
    return m.RoundTrained(
        state_hash=trained.state_hash,
        tokens=trained.tokens,
        loss=trained.loss,
        val_loss=trained.val_loss,
        val_bits_per_byte=trained.val_bits_per_byte,
        average_val_loss=trained.average_val_loss,
        exchange_seconds=trained.exchange_seconds,
    )
