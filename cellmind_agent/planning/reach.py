"""Explains why one device cannot reach another: a sentence and a command for each pair, from both directions."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import CLOCK_SLACK_SECONDS, DEFAULT_PORT
from cellmind_agent.protocol.messages import Check, PeerView, ReachProbed

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
    probed, check = reach.probed, f"reach {one} -> {other}"
    if probed is None:
        return Check(id=check, verdict="skipped", detail=f"{one} could not say")
    place, port = probed.address, (probed.address or f":{DEFAULT_PORT}").rpartition(":")[2]
    connect = f"on {one}: cellmindctl connect HOST:PORT, as {other} shows it under `cellmindctl peers`"
    match probed.outcome:
        case "reached":
            return Check(id=check, verdict="ok", detail=f"at {place}, {probed.seconds * 1000:.0f} ms")
        case None:
            return Check(id=check, verdict="warning", detail=f"{one} knows no address of {other}", fix=connect)
        case "refused":
            why = f"nothing listens at {place}: the agent of {other} has stopped, or listens on another port now"
            return Check(id=check, verdict="warning", detail=why, fix=connect)
        case "other":
            why = f"another device is at {place}: the address of {other} has changed"
            return Check(id=check, verdict="warning", detail=why, fix=connect)
        case "unknown":
            why = f"{other} does not know the key of {one}: their keyrings differ"
            return Check(id=check, verdict="error", detail=why, fix="on an owner's device: cellmindctl invite")
    # Nobody answered. The other direction shows why.
    reaches_back = back is not None and back.probed is not None and back.probed.outcome == "reached"
    if reaches_back:
        why = f"{other} reaches {one}, but not the other way: a firewall on {other} lets nothing in at port {port}"
        fix = f"on {other}: sudo ufw allow {port}/tcp (runs work without it: {other} dials out)"
        return Check(id=check, verdict="warning", detail=why, fix=fix)
    if not _is_same_network(reach.dialler, place, view):
        why = f"{place} is on another network than {one}: a guest Wi-Fi, a VPN, or an outdated address"
        return Check(id=check, verdict="warning", detail=why, fix=f"bring both into one network, or {connect}")
    if _state(reach.target, view) != "online":
        why = f"nobody answers at {place}: {other} is off or asleep, or has another address now"
        return Check(id=check, verdict="warning", detail=why, fix=f"wake {other}, or {connect}")
    why = f"neither reaches the other at {place}: the access point keeps its clients apart (AP isolation), or firewalls"
    fix = f"switch client isolation off in the router, or on both: sudo ufw allow {port}/tcp"
    return Check(id=check, verdict="warning", detail=why, fix=fix)


def _clocks(reaches: Sequence[Reach], view: dict[DeviceId, PeerView]) -> list[Check]:
    checks = []
    for dialler in dict.fromkeys(reach.dialler for reach in reaches if reach.probed):
        ahead = next(r.probed.time - r.here for r in reaches if r.dialler == dialler and r.probed)
        if abs(ahead) > CLOCK_SLACK_SECONDS:
            name = _name(dialler, view)
            why = f"the clock of {name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this device's"
            fix = f"on {name}: turn on network time (timedatectl set-ntp true)"
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
