"""Explains why one device cannot reach another: a sentence and a command for each pair, from both directions."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import CLOCK_SLACK_SECONDS, DEFAULT_PORT
from cellmind_agent.protocol.messages import Check, PeerView, ReachProbed
from model.line.sentence import Sentence

_LOCAL_PREFIX_BITS = 24  # home networks have this size, or are smaller ones of the same router


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The result of one device's dialling another; `probed` is None when the dialler itself did not answer.

    `here` is this device's clock at that moment, in seconds since 1970.
    """

    dialler: DeviceId
    target: DeviceId
    probed: ReachProbed | None
    here: float


def explain(reaches: Sequence[Reach], peers: Sequence[PeerView]) -> list[Check]:
    """One check for each pair, in the given order, then one for each clock that is far off."""
    view = {peer.id: peer for peer in peers}
    by_pair = {(reach.dialler, reach.target): reach for reach in reaches}
    checks = [_explain_one(reach, by_pair.get((reach.target, reach.dialler)), view) for reach in reaches]
    return checks + _clocks(reaches, view)


def _explain_one(reach: Reach, back: Reach | None, view: dict[DeviceId, PeerView]) -> Check:
    one, other = _name(reach.dialler, view), _name(reach.target, view)
    place = (reach.probed.address if reach.probed else None) or ""
    fields = {
        "one": one,
        "other": other,
        "place": place,
        "port": place.rpartition(":")[2] or str(DEFAULT_PORT),
        "milliseconds": f"{reach.probed.seconds * 1000:.0f}" if reach.probed else "",
    }
    verdict, detail, fix = _verdict(reach, back, view)
    connect = Sentence(_CONNECT, one=one, other=other)
    return Check(
        id=f"reach {one} -> {other}",
        verdict=verdict,
        detail=Sentence(detail, **fields),
        fix=None if fix is None else Sentence(fix, connect=connect, **fields),
    )


_CONNECT = "on {one}: cellmindctl connect HOST:PORT, as {other} shows it under `cellmindctl peers`"
_Verdict = tuple[Literal["ok", "warning", "error", "skipped"], str, str | None]


def _verdict(reach: Reach, back: Reach | None, view: dict[DeviceId, PeerView]) -> _Verdict:
    """A verdict, the template of its reason, and the one of its fix."""
    if reach.probed is None:
        return "skipped", "{one} could not say", None
    match reach.probed.outcome:
        case "reached":
            return "ok", "at {place}, {milliseconds} ms", None
        case None:
            return "warning", "{one} knows no address of {other}", _CONNECT
        case "refused":
            why = "nothing listens at {place}: the agent of {other} has stopped, or listens on another port now"
            return "warning", why, _CONNECT
        case "other":
            return "warning", "another device is at {place}: the address of {other} has changed", _CONNECT
        case "unknown":
            why = "{other} does not know the key of {one}: their keyrings differ"
            return "error", why, "on an owner's device: cellmindctl invite"
    return "warning", *_silence(reach, back, view)


def _silence(reach: Reach, back: Reach | None, view: dict[DeviceId, PeerView]) -> tuple[str, str]:
    """Nobody answered: the other direction shows why."""
    assert reach.probed
    if back is not None and back.probed is not None and back.probed.outcome == "reached":
        why = "{other} reaches {one}, but not the other way: a firewall on {other} lets nothing in at port {port}"
        return why, "on {other}: sudo ufw allow {port}/tcp (runs work without it: {other} dials out)"
    if not _is_same_network(reach.dialler, reach.probed.address, view):
        why = "{place} is on another network than {one}: a guest Wi-Fi, a VPN, or an outdated address"
        return why, "bring both into one network, or {connect}"
    if _state(reach.target, view) != "online":
        why = "nobody answers at {place}: {other} is off or asleep, or has another address now"
        return why, "wake {other}, or {connect}"
    why = "neither reaches the other at {place}: the access point keeps its clients apart (AP isolation), or firewalls"
    return why, "switch client isolation off in the router, or on both: sudo ufw allow {port}/tcp"


def _clocks(reaches: Sequence[Reach], view: dict[DeviceId, PeerView]) -> list[Check]:
    checks = []
    for dialler in dict.fromkeys(reach.dialler for reach in reaches if reach.probed):
        ahead = next(r.probed.time - r.here for r in reaches if r.dialler == dialler and r.probed)
        if abs(ahead) > CLOCK_SLACK_SECONDS:
            name = _name(dialler, view)
            text = "the clock of {name} is {seconds} s behind this device's"
            if ahead > 0:
                text = "the clock of {name} is {seconds} s ahead of this device's"
            why = Sentence(text, name=name, seconds=f"{abs(ahead):.0f}")
            fix = Sentence("on {name}: turn on network time (timedatectl set-ntp true)", name=name)
            checks.append(Check(id=f"clock {name}", verdict="warning", detail=why, fix=fix))
    return checks


def _is_same_network(dialler: DeviceId, place: str | None, view: dict[DeviceId, PeerView]) -> bool:
    """True when the dialler has an address in the network of `place`, or its addresses are not known."""
    hosts = [address.rpartition(":")[0] for address in (view[dialler].addresses if dialler in view else ())]
    try:
        target = ipaddress.ip_address((place or "").rpartition(":")[0])
        own = [ipaddress.ip_network(f"{host}/{_LOCAL_PREFIX_BITS}", strict=False) for host in hosts]
    except ValueError:
        return True
    return not own or any(target in network for network in own)


def _name(device: DeviceId, view: dict[DeviceId, PeerView]) -> str:
    return view[device].name if device in view else short(device)


def _state(device: DeviceId, view: dict[DeviceId, PeerView]) -> str:
    return view[device].state if device in view else "gone"
