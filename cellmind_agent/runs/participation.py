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
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import RENDEZVOUS_SECONDS
from cellmind_agent.runs.process import ChildProcess
from model.line.checkpoint import CheckpointPaths
from model.line.training import PrepareTrainer, Span


@dataclass(slots=True, kw_only=True)
class Participation:
    """The run that this device takes part in now."""

    spec: m.RunSpec
    view: m.RunView
    rank: int
    term: int
    leader: DeviceId
    child: ChildProcess | None = None
    sent_bytes_before: int = 0  # what this device's tunnels had sent before the run
    tokens_per_second: float | None = None
    is_dismissed: bool = False
    progress: asyncio.Queue[m.MemberProgressed] = field(default_factory=asyncio.Queue)


def needed_blobs(spec: m.RunSpec) -> list[BlobRef]:
    """Every blob that a member of the run must hold before its trainer starts."""
    resumed = list(spec.resume_from.files.values()) if spec.resume_from else []
    return [spec.config, spec.tokenizer, spec.manifest, *spec.shards, *resumed]


def trainer_parameters(
    part: Participation,
    path_of: Callable[[BlobRef], Path],
    folder: Path,
    tuning: Path,
    resume_from: CheckpointPaths | None,
) -> PrepareTrainer:
    """What the trainer needs to start. A peer never names a path: it names blobs, and `path_of` finds them here."""
    spec, rank = part.spec, part.rank
    here = spec.roster[rank].host
    return PrepareTrainer(
        run=spec.run,
        rank=rank,
        size=len(spec.roster),
        near=tuple(other for other, member in enumerate(spec.roster) if other != rank and member.host == here),
        total_steps=part.view.total_steps,
        backend=spec.backend,
        config=str(path_of(spec.config)),
        tokenizer=str(path_of(spec.tokenizer)),
        manifest=str(path_of(spec.manifest)),
        shards=tuple(str(path_of(ref)) for ref in spec.shards),
        folder=str(folder),
        tuning=str(tuning),
        rendezvous_seconds=RENDEZVOUS_SECONDS,
        resume_from=resume_from,
    )


def own_spans(spec: m.RunSpec, rank: int, request: m.TrainRound) -> tuple[Span, ...]:
    """The samples of `rank` in each step of a round, as positions in the epoch's order."""
    ledger = ledger_of(spec)
    found = []
    for step in range(request.first_step, request.first_step + request.num_steps):
        epoch, start, stop = ledger.batch(step)
        # The last batch of an epoch is smaller than the shares add up to: it is divided in the same proportion.
        amounts = request.shares if stop - start == sum(request.shares) else shares(request.shares, stop - start)
        first, last = spans(start, amounts)[rank]
        found.append(Span(epoch=epoch, start=first, stop=last))
    return tuple(found)
