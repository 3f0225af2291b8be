"""Which devices could join a run that is under way, and which may leave it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import replace

from cellmind_agent.planning.roster import why_not
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_RECRUITINGS
from cellmind_agent.protocol.messages import PeerView, RunSpec


def recruits(
    peers: Iterable[PeerView], spec: RunSpec, taken: Set[DeviceId], tries: Mapping[DeviceId, int]
) -> tuple[PeerView, ...]:
    """The devices that could take part, besides those in `taken`: allowed, online, able to train, and in `ddp`
    with a share of the batch. `tries` are how often each was asked already."""
    able = [
        peer
        for peer in peers
        if peer.id not in taken
        and may_take_part(peer.id, spec)
        and tries.get(peer.id, 0) < MAX_RECRUITINGS
        and _could_train(peer, spec)
    ]
    if spec.mode != "ddp":
        return tuple(able)
    return tuple(able[: max(0, spec.batch_samples - len(taken))])


def may_take_part(device: DeviceId, spec: RunSpec) -> bool:
    """Whether the person who started the run has allowed it: by name, or by naming nobody."""
    return device in spec.devices if spec.devices else device not in spec.left_out


def as_allowed(spec: RunSpec, peers: Iterable[PeerView]) -> RunSpec:
    """The run, in which devices that did not help take part after all if no other one can go on with it."""
    could = [peer for peer in peers if why_not(peer) is None]
    is_left = any(may_take_part(peer.id, spec) for peer in could)
    return spec if is_left else replace(spec, left_out=())


def others_train_on(device: DeviceId, roster: Collection[DeviceId], peers: Iterable[PeerView]) -> bool:
    """Whether another member of the run neither rests nor is out of reach, so that `device` may leave to rest."""
    others = (peer for peer in peers if peer.id in roster and peer.id != device)
    return any(peer.state == "online" and not _rests(peer) for peer in others)


def _rests(peer: PeerView) -> bool:
    limit = peer.vitals.training_limit if peer.vitals else None
    return limit is not None and limit.is_paused


def _could_train(peer: PeerView, spec: RunSpec) -> bool:
    """A device that takes part in this very run has lost its leader, or follows another one."""
    if peer.vitals and peer.vitals.run == spec.run:
        peer = replace(peer, vitals=replace(peer.vitals, run=None))
    return why_not(peer) is None
