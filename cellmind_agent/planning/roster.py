"""The plan of a run: who takes part in which order, who does not and why, over which process group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.planning.election import elect
from cellmind_agent.planning.shares import shares
from cellmind_agent.protocol.errors import UnknownNameError, UsageError
from cellmind_agent.protocol.ids import DeviceId
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Seating:
    """Who takes part, rank 0 first, and who does not."""

    seated: tuple[PeerView, ...]
    left_out: tuple[LeftOut, ...]


def seat(peers: Sequence[PeerView], batch_samples: int, wanted: Sequence[str] = ()) -> Seating:
    """Raises UnknownNameError (a wanted device is not there, or none can train)."""
    able, left_out = [], []
    for peer in _wanted(peers, wanted):
        why = why_not(peer)
        if why is None:
            able.append(peer)
        else:
            left_out.append(LeftOut(name=peer.name, why=why))
    order = elect(able)
    if not order:
        whys = "; ".join(f"{out.name}: {out.why}" for out in left_out) or "no device is paired and online"
        raise UnknownNameError(f"no device can train ({whys})", "cellmindctl peers --wide")
    left_out += [
        LeftOut(name=peer.name, why="the batch has fewer samples than devices") for peer in order[batch_samples:]
    ]
    return Seating(seated=tuple(order[:batch_samples]), left_out=tuple(left_out))


def plan(
    seating: Seating,
    batch_samples: int,
    backend: tuple[Backend, str],
    mode: ModeWish = "auto",
) -> RunPlan:
    """`backend` is `choose_backend`'s. Raises UsageError (a wish that cannot be met)."""
    if mode == "local":
        raise UsageError("mode `local` is not part of this version", "cellmindctl train --mode ddp")
    roster = tuple(
        RosterMember(device=peer.id, name=peer.name, host=_host(peer), tokens_per_second=_speed(peer))
        for peer in seating.seated
    )
    return RunPlan(
        roster=roster,
        shares=shares([member.tokens_per_second for member in roster], batch_samples),
        mode="ddp",
        mode_reason=_mode_reason(mode, [member.host for member in roster]),
        backend=backend[0],
        backend_reason=backend[1],
        left_out=seating.left_out,
    )


def _mode_reason(wish: ModeWish, hosts: Sequence[str]) -> str:
    if wish == "ddp":
        return "asked for"
    if len(hosts) == 1:
        return "one device alone"
    if len(set(hosts)) == 1:
        return "the members share one machine, so gradients are cheap to exchange"
    return "the members step together; the mode for slow networks is not part of this version"


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


def needs_probe(members: Sequence[PeerView], wish: BackendWish, is_lan_trusted: bool = False) -> bool:
    """Must the members be asked whether gloo works there, before the backend can be chosen?"""
    if wish == "auto":
        return len(members) > 1 and _why_not_nccl(members, is_lan_trusted) is not None and not _why_not_alike(members)
    return wish == "gloo" and len(members) > 1


def choose_backend(
    members: Sequence[PeerView],
    wish: BackendWish,
    faults: Mapping[DeviceId, str] | None = None,
    is_lan_trusted: bool = False,
) -> tuple[Backend, str]:
    """The process group's backend and the reason, in words. `faults` says of each device on which gloo was probed and
    does not work why. Raises UsageError for a wish that cannot be met."""
    why_not_nccl = _why_not_nccl(members, is_lan_trusted)
    why_not_gloo = _why_not_alike(members) or _why_not_probed(members, faults or {})
    if wish == "portable":
        return "portable", "asked for"
    if wish == "nccl":
        if why_not_nccl:
            raise UsageError(f"backend nccl cannot be used: {why_not_nccl}", "cellmindctl train --backend auto")
        return "nccl", "asked for"
    if wish == "gloo":
        if why_not_gloo:
            raise UsageError(f"backend gloo cannot be used: {why_not_gloo}", "cellmindctl train --backend auto")
        return "gloo", "asked for"
    if why_not_nccl is None:
        return "nccl", "every member has a CUDA GPU of its own"
    if why_not_gloo is None:
        return "gloo", why_not_nccl
    return "portable", why_not_gloo


def _why_not_nccl(members: Sequence[PeerView], is_lan_trusted: bool) -> str | None:
    gpus = [peer.vitals.accelerator for peer in members if peer.vitals and peer.vitals.accelerator]
    cuda = [gpu.uuid for gpu in gpus if gpu.kind == "cuda"]
    if not cuda:
        return "no member has a CUDA GPU"
    if len(cuda) != len(members) or len(set(cuda)) != len(cuda):
        return "not every member has a CUDA GPU of its own"
    if len({_host(peer) for peer in members}) > 1 and not is_lan_trusted:
        return "NCCL speaks in clear, and the owner has not said that the network is trusted (distributed.trusted_lan)"
    return None


def _why_not_alike(members: Sequence[PeerView]) -> str | None:
    """gloo speaks differently on Linux and Android (TCP) than on macOS and Windows (libuv), and its collectives change
    with torch."""
    systems = {peer.name: peer.vitals.os for peer in members if peer.vitals}
    if len({name in ("linux", "android") for name in systems.values()}) > 1:
        said = ", ".join(f"{name} runs {system}" for name, system in systems.items())
        return f"gloo does not work between these systems: {said}"
    torches = {peer.name: (peer.vitals.versions.torch or "none") for peer in members if peer.vitals}
    if len({version.split("+")[0].rpartition(".")[0] for version in torches.values()}) > 1:
        said = ", ".join(f"{name} has {version}" for name, version in torches.items())
        return f"gloo wants the same torch everywhere: {said}"
    return None


def _why_not_probed(members: Sequence[PeerView], faults: Mapping[DeviceId, str]) -> str | None:
    said = [f"gloo does not work on {peer.name} ({faults[peer.id]})" for peer in members if peer.id in faults]
    return "; ".join(said) if said and len(members) > 1 else None


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
