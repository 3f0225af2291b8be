"""The plan of a run: which devices take part and in which order, which do not and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cellmind_agent.planning.election import elect
from cellmind_agent.planning.exchange import Averaging, Network
from cellmind_agent.planning.forecast import Forecast, Work, chosen, gain, useful_subsets
from cellmind_agent.planning.shares import shares
from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.messages import MemberForecast, PeerView, RosterMember, RunForecast, RunMode
from model.line.sentence import Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A device that does not take part, and the reason in words."""

    name: str
    why: Sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """`roster[0]` is rank 0; `shares` are in the order of the roster: the samples of each member in a step (`ddp`), or
    its percent of the steps of a round (`local`)."""

    roster: tuple[RosterMember, ...]
    shares: tuple[int, ...]
    mode: RunMode
    mode_reason: Sentence
    backend: BackendName
    backend_reason: Sentence
    left_out: tuple[LeftOut, ...]
    idlers: tuple[DeviceId, ...] = ()  # of those that are left out: they could train, and would bring nothing
    averaging: Averaging | None = None  # in local rounds, if the network is known
    forecast: Forecast | None = None  # of this plan; None: something that it depends on is not known
    subsets: tuple[Forecast, ...] = ()  # what fewer devices would do, or more

    @property
    def center(self) -> DeviceId | None:
        """The device that averages for all; None: each averages a part."""
        return self.averaging.center.device if self.averaging and self.averaging.center else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seating:
    """The devices that take part, rank 0 first, and those that do not; of these the `idlers` could, and would bring
    nothing."""

    seated: tuple[PeerView, ...]
    left_out: tuple[LeftOut, ...]
    idlers: tuple[DeviceId, ...] = ()


def seat(peers: Sequence[PeerView], names: Sequence[str] = ()) -> Seating:
    """Elect the ranks among the devices with these `names`, or among all paired devices.

    Raises UnknownNameError for a name that fits no device, or when no device can train.
    """
    able, left_out = [], []
    for peer in _named(peers, names):
        why = why_not(peer)
        if why is None:
            able.append(peer)
        else:
            left_out.append(LeftOut(name=peer.name, why=why))
    order = elect(able)  # the strongest first
    if not order:
        reasons = Sentence("no device is paired and online")
        if left_out:
            reasons = Sentence("{name}: {why}", name=left_out[0].name, why=left_out[0].why)
        for out in left_out[1:]:
            reasons = Sentence("{reasons}; {name}: {why}", reasons=reasons, name=out.name, why=out.why)
        raise UnknownNameError("no device can train ({reasons})", "cellmindctl peers --wide", reasons=reasons)
    return Seating(seated=order, left_out=tuple(left_out))


def within_batch(seating: Seating, batch_samples: int, mode: RunMode) -> Seating:
    """In the mode `ddp` each member needs a sample of every batch: where there are too few, the weakest stay out."""
    if mode != "ddp" or len(seating.seated) <= batch_samples:
        return seating
    why = Sentence("the batch has fewer samples than devices")
    left_out = [LeftOut(name=peer.name, why=why) for peer in seating.seated[batch_samples:]]
    return replace(seating, seated=seating.seated[:batch_samples], left_out=(*seating.left_out, *left_out))


def without_idlers(
    seating: Seating, modes: Sequence[RunMode], work: Work, network: Network
) -> tuple[Seating, tuple[Forecast, ...]]:
    """Leave out the devices that would not help, and the forecasts of the sets that were compared.

    Nobody is left out while a speed or a rate is not known.
    """
    subsets = tuple(useful_subsets(modes, [seat_of(peer) for peer in seating.seated], work, network))
    if not all(one.tokens_per_second for one in map(seat_of, seating.seated)) or not subsets:
        return seating, subsets
    best = chosen(subsets)
    kept = {member.device for member in best.members}
    seated = tuple(peer for peer in seating.seated if peer.id in kept)
    others = [peer for peer in seating.seated if peer.id not in kept]
    idle = [
        LeftOut(name=peer.name, why=_why_idle(gain(best, (*best.members, seat_of(peer)), work, network)))
        for peer in others
    ]
    idlers = tuple(peer.id for peer in others)
    return Seating(seated=seated, left_out=(*seating.left_out, *idle), idlers=idlers), subsets


def _why_idle(gained: float | None) -> Sentence:
    if gained is None or gained < 0:
        return Sentence("it would slow the run down; it can keep the model, and answer")
    return Sentence("it would bring {percent} %; it can keep the model, and answer", percent=f"+{100 * gained:.1f}")


def plan(
    seating: Seating,
    batch_samples: int,
    backend: tuple[BackendName, Sentence],
    mode: tuple[RunMode, Sentence],
    averaging: Averaging | None = None,
    made: Forecast | None = None,
    subsets: tuple[Forecast, ...] = (),
) -> RunPlan:
    """The plan, with the results of `choose_backend`, `choose_mode` and `best_averaging`. `made` is its forecast."""
    roster = tuple(seat_of(peer) for peer in seating.seated)
    speeds = [member.tokens_per_second for member in roster]
    return RunPlan(
        roster=roster,
        shares=shares(speeds, batch_samples if mode[0] == "ddp" else 100),
        mode=mode[0],
        mode_reason=mode[1],
        backend=backend[0],
        backend_reason=backend[1],
        left_out=seating.left_out,
        idlers=seating.idlers,
        averaging=averaging,
        forecast=made,
        subsets=subsets,
    )


def promised(made: RunPlan) -> RunForecast | None:
    """What the run is to be compared with when it is over. None: something was not known."""
    if made.forecast is None or not all(member.tokens_per_second for member in made.roster):
        return None
    members = tuple(
        MemberForecast(device=member.device, name=member.name, tokens_per_second=member.tokens_per_second or 0.0)
        for member in made.roster
    )
    return RunForecast(tokens_per_second=made.forecast.tokens_per_second, members=members)


def seat_of(peer: PeerView) -> RosterMember:
    """The device as a member of a roster."""
    return RosterMember(device=peer.id, name=peer.name, host=_host(peer), tokens_per_second=_speed(peer))


def why_not(peer: PeerView) -> Sentence | None:
    """Why a device cannot train now, or None if it can."""
    if not peer.paired:
        return Sentence("not paired")
    if peer.state != "online":
        return Sentence(peer.state)
    if peer.vitals is None:
        return Sentence("has not reported its vitals yet")
    if peer.vitals.versions.torch is None:
        return Sentence("has no torch: run ./install there again, without --no-train")
    if peer.vitals.run is not None:
        return Sentence("is busy with {run}", run=peer.vitals.run)
    if peer.vitals.training_limit and peer.vitals.training_limit.is_paused:
        return peer.vitals.training_limit.why
    return None


def find_device(peers: Sequence[PeerView], name: str) -> PeerView:
    """The device with this name, or whose id begins with it (4 characters or more).

    Raises UnknownNameError when no device fits, or more than one.
    """
    beginning = name.strip().lower().replace("-", "")
    found = [peer for peer in peers if peer.name == name] or [
        peer for peer in peers if len(beginning) >= 4 and peer.id.startswith(beginning)
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(peer.name for peer in peers) or "none"
    if found:
        raise UnknownNameError(
            "{num_found} devices are called {name}",
            "name it by its id: cellmindctl peers --wide",
            num_found=len(found),
            name=f"{name!r}",
        )
    raise UnknownNameError(
        "no device is called {name} (known: {known})", "cellmindctl peers", name=f"{name!r}", known=known
    )


def _named(peers: Sequence[PeerView], names: Sequence[str]) -> list[PeerView]:
    if not names:
        return [peer for peer in peers if peer.paired]
    return [find_device(peers, name) for name in dict.fromkeys(names)]


def _host(peer: PeerView) -> str:
    return peer.vitals.host if peer.vitals else peer.id


def _speed(peer: PeerView) -> float | None:
    return peer.vitals.tokens_per_second.value if peer.vitals and peer.vitals.tokens_per_second else None
