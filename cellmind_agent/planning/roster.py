"""The plan of a run: who takes part in which order, who does not and why, over which process group.

Until tunnels carry a process group between machines, the members of one run are agents of one machine, meeting on its
loopback; this file is the one place that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.planning.election import elect
from cellmind_agent.planning.shares import shares
from cellmind_agent.protocol.errors import UnknownNameError, UsageError
from cellmind_agent.protocol.messages import Backend, PeerView, RosterMember

BackendWish = Literal["auto", "gloo", "nccl", "portable"]
ModeWish = Literal["auto", "ddp", "local"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """`roster[0]` is rank 0; `shares` are samples a step in roster order."""

    roster: tuple[RosterMember, ...]
    shares: tuple[int, ...]
    mode: Literal["ddp"]
    mode_reason: str
    backend: Backend
    backend_reason: str
    left_out: tuple[LeftOut, ...]


def plan(
    peers: Sequence[PeerView],
    batch_samples: int,
    wanted: Sequence[str] = (),
    backend: BackendWish = "auto",
    mode: ModeWish = "auto",
) -> RunPlan:
    """Raises UnknownNameError (a wanted device is not there) and UsageError (a wish that cannot be met)."""
    if mode == "local":
        raise UsageError("mode `local` is not part of this version", "cellmindctl train --mode ddp")
    chosen = _wanted(peers, wanted)
    able, left_out = [], []
    for peer in chosen:
        why = why_not(peer)
        if why is None:
            able.append(peer)
        else:
            left_out.append(LeftOut(name=peer.name, why=why))
    order = elect(able)
    near = [peer for peer in order if _host(peer) == _host(order[0])]
    left_out += [
        LeftOut(name=peer.name, why=f"on another machine than {order[0].name}: this version trains within one machine")
        for peer in order
        if _host(peer) != _host(order[0])
    ]
    if not near:
        whys = "; ".join(f"{out.name}: {out.why}" for out in left_out) or "no device is paired and online"
        raise UnknownNameError(f"no device can train ({whys})", "cellmindctl peers --wide")
    seated = near[:batch_samples]
    left_out += [
        LeftOut(name=peer.name, why="the batch has fewer samples than devices") for peer in near[batch_samples:]
    ]
    roster = tuple(RosterMember(device=peer.id, name=peer.name, tokens_per_second=_speed(peer)) for peer in seated)
    chosen_backend, reason = choose_backend(seated, backend)
    return RunPlan(
        roster=roster,
        shares=shares([member.tokens_per_second for member in roster], batch_samples),
        mode="ddp",
        mode_reason=_mode_reason(mode, len(roster)),
        backend=chosen_backend,
        backend_reason=reason,
        left_out=tuple(left_out),
    )


def _mode_reason(wish: ModeWish, size: int) -> str:
    if wish == "ddp":
        return "asked for"
    return "one device alone" if size == 1 else "the members share one machine, so gradients are cheap to exchange"


def why_not(peer: PeerView) -> str | None:
    """Why a device cannot train now, or None if it can."""
    if not peer.paired:
        return "not paired"
    if peer.state != "online":
        return peer.state
    if peer.vitals is None:
        return "has not reported its vitals yet"
    if peer.vitals.versions.torch is None:
        return "has no torch: pip install 'cellmind[train]'"
    if peer.vitals.run is not None:
        return f"is busy with {peer.vitals.run}"
    return None


def choose_backend(members: Sequence[PeerView], wish: BackendWish) -> tuple[Backend, str]:
    """The process group's backend and the reason, in words. Raises UsageError."""
    gpus = [peer.vitals.accelerator for peer in members if peer.vitals and peer.vitals.accelerator]
    cuda = [gpu.uuid for gpu in gpus if gpu.kind == "cuda"]
    all_own_one = len(cuda) == len(members) and len(set(cuda)) == len(cuda)
    if wish == "portable":
        raise UsageError("backend `portable` is not part of this version", "cellmindctl train --backend auto")
    if wish == "nccl":
        if not all_own_one:
            raise UsageError(
                "backend nccl needs a CUDA GPU of its own on every member", "cellmindctl train --backend gloo"
            )
        return "nccl", "asked for"
    if wish == "gloo":
        return "gloo", "asked for"
    if all_own_one:
        return "nccl", "every member has a CUDA GPU of its own"
    if cuda:
        return "gloo", "not every member has a CUDA GPU of its own"
    return "gloo", "no member has a CUDA GPU"


def _wanted(peers: Sequence[PeerView], wanted: Sequence[str]) -> list[PeerView]:
    if not wanted:
        return [peer for peer in peers if peer.paired]
    return [find_device(peers, name) for name in dict.fromkeys(wanted)]


def find_device(peers: Sequence[PeerView], name: str) -> PeerView:
    """The device of this name or (beginning of an) id. Raises UnknownNameError, also when two fit."""
    wanted = name.strip().lower().replace("-", "")
    found = [peer for peer in peers if peer.name == name] or [
        peer for peer in peers if len(wanted) >= 4 and peer.id.startswith(wanted)
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(peer.name for peer in peers) or "none"
    if found:
        raise UnknownNameError(
            f"{len(found)} devices are called {name!r}", "name it by its id: cellmindctl peers --wide"
        )
    raise UnknownNameError(f"no device is called {name!r} (known: {known})", "cellmindctl peers")


def _host(peer: PeerView) -> str:
    return peer.vitals.host if peer.vitals else peer.id


def _speed(peer: PeerView) -> float | None:
    return peer.vitals.tokens_per_second.value if peer.vitals and peer.vitals.tokens_per_second else None
