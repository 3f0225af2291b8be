"""This device's part in one run: what it is, which blobs it needs, and which samples of a round are its own. No I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cellmind_agent.planning.ledger import ledger_of
from cellmind_agent.planning.shares import shares, spans
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import RENDEZVOUS_SECONDS
from cellmind_agent.runs.process import ChildProcess
from model.line.checkpoint import CheckpointPaths
from model.line.training import JoinGroup, PrepareTrainer, Span, StepsTrained


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlace:
    """This device's place in a process group."""

    term: int
    rank: int
    roster: tuple[m.RosterMember, ...]


@dataclass(slots=True, kw_only=True)
class Participation:
    """The run that this device takes part in now."""

    spec: m.RunSpec
    view: m.RunView
    leader: DeviceId
    group: GroupPlace | None = None  # None: before the first group, and between two
    newest_term: int = 0  # of the groups that the leader has asked for
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # the trainer does one thing at a time
    child: ChildProcess | None = None
    sent_bytes_before: int = 0  # what this device's tunnels had sent before the run
    tokens_per_second: float | None = None
    is_dismissed: bool = False
    progress: asyncio.Queue[m.MemberProgressed] = field(default_factory=asyncio.Queue)


def members_here(spec: m.RunSpec, device: DeviceId) -> int:
    """How many members of the run share this device's machine, this one included."""
    host = next(member.host for member in spec.roster if member.device == device)
    return sum(member.host == host for member in spec.roster)


def needed_blobs(spec: m.RunSpec) -> list[BlobRef]:
    """Every blob that a member of the run must hold before its trainer starts."""
    resumed = list(spec.resume_from.files.values()) if spec.resume_from else []
    return [spec.config, spec.tokenizer, spec.manifest, *spec.shards, *resumed]


def place_in(request: m.FormGroup, device: DeviceId) -> GroupPlace:
    """The place of `device` in the group. Raises ProtocolError if it has none."""
    for rank, member in enumerate(request.roster):
        if member.device == device:
            return GroupPlace(term=request.term, rank=rank, roster=request.roster)
    raise ProtocolError("this device is not in the roster of the group")


def joining(place: GroupPlace, backend: str, step: int) -> JoinGroup:
    """What the trainer needs to join the group."""
    here = place.roster[place.rank].host
    return JoinGroup(
        rank=place.rank,
        size=len(place.roster),
        backend=backend,
        step=step,
        near=tuple(other for other, member in enumerate(place.roster) if other != place.rank and member.host == here),
        rendezvous_seconds=RENDEZVOUS_SECONDS,
    )


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
    rank = [member.device for member in spec.roster].index(device)
    return PrepareTrainer(
        run=spec.run,
        rank=rank,
        size=len(spec.roster),
        members_here=members_here(spec, device),
        total_steps=part.view.total_steps,
        config=str(path_of(spec.config)),
        tokenizer=str(path_of(spec.tokenizer)),
        manifest=str(path_of(spec.manifest)),
        shards=tuple(str(path_of(ref)) for ref in spec.shards),
        folder=str(folder),
        tuning=str(tuning),
        resume_from=resume_from,
    )


def own_spans(spec: m.RunSpec, rank: int, request: m.TrainRound) -> tuple[Span, ...]:
    """The samples of `rank` in each step of a round, as positions in the epoch's order. Raises ProtocolError."""
    ledger = ledger_of(spec)
    if not 0 <= rank < len(request.shares):
        raise ProtocolError("the round has no share for rank {rank}", rank=rank)
    found = []
    for step in range(request.first_step, request.first_step + request.num_steps):
        epoch, start, stop = ledger.batch(step)
        # The last batch of an epoch is smaller than the shares add up to: it is divided in the same proportion.
        amounts = request.shares if stop - start == sum(request.shares) else shares(request.shares, stop - start)
        first, last = spans(start, amounts)[rank]
        found.append(Span(epoch=epoch, start=first, stop=last))
    return tuple(found)


def result_of(trained: StepsTrained) -> m.RoundTrained:
    """What the leader learns of a trained round."""
    return m.RoundTrained(
        state_hash=trained.state_hash,
        tokens=trained.tokens,
        loss=trained.loss,
        val_loss=trained.val_loss,
        val_bits_per_byte=trained.val_bits_per_byte,
        average_val_loss=trained.average_val_loss,
    )
