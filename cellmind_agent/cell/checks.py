"""Doctor: what may be wrong on this device and in this cell, each with one fix. Looks only; changes nothing."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.network.interfaces import choose_interfaces, read_interfaces
from cellmind_agent.planning.reach import Reach, explain
from cellmind_agent.protocol.limits import FREE_SPACE_FLOOR_BYTES
from cellmind_agent.protocol.messages import Check, PeerView, Versions

_FIRST_SENSIBLE_TIME = 1_750_000_000  # June 2025: a clock before it was never set


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the checks look at."""

    home: Path
    port: int
    uses_mdns: bool
    interfaces: Sequence[str]
    versions: Versions
    peers: Sequence[PeerView]


def run_checks(about: Circumstances, reaches: Sequence[Reach]) -> tuple[Check, ...]:
    """Every check, in the order in which a person would want to read them. `reaches` say who can dial whom."""
    return (
        Check(id="agent", verdict="ok", detail=f"serves on port {about.port}"),
        _home(about),
        _disk(about),
        _clock(),
        _python(),
        _torch(about),
        _mdns(about),
        *_multicast(about),
        *_versions(about),
        *_peers(about),
        *explain(reaches, about.peers),
    )


def _home(about: Circumstances) -> Check:
    mode = about.home.stat().st_mode & 0o777
    if mode & 0o077:
        return Check(
            id="home", verdict="error", detail=f"{about.home} is open to others", fix=f"chmod 700 {about.home}"
        )
    return Check(id="home", verdict="ok", detail=f"{about.home} is private")


def _disk(about: Circumstances) -> Check:
    free = shutil.disk_usage(about.home).free
    detail = f"{free >> 20} MB free"
    if free < 4 * FREE_SPACE_FLOOR_BYTES:
        return Check(id="disk", verdict="warning", detail=detail, fix="cellmindctl models rm NAME, or free some space")
    return Check(id="disk", verdict="ok", detail=detail)


def _clock() -> Check:
    if time.time() < _FIRST_SENSIBLE_TIME:
        return Check(id="clock", verdict="warning", detail="the clock was never set", fix="turn on network time")
    return Check(id="clock", verdict="ok", detail=time.strftime("%Y-%m-%d %H:%M:%S %Z"))


def _python() -> Check:
    return Check(id="python", verdict="ok", detail=f"{sys.version.split()[0]} on {sys.platform}")


def _torch(about: Circumstances) -> Check:
    if about.versions.torch is None:
        fix = "pip install 'cellmind[train]'"
        return Check(
            id="torch", verdict="warning", detail="not installed: this device can neither train nor answer", fix=fix
        )
    return Check(id="torch", verdict="ok", detail=about.versions.torch)


def _mdns(about: Circumstances) -> Check:
    if not about.uses_mdns:
        return Check(id="mdns", verdict="skipped", detail="switched off by --no-mdns")
    chosen = choose_interfaces(read_interfaces(), about.interfaces)
    if not chosen:
        fix = "cellmind-agent --interface NAME, or cellmindctl connect HOST:PORT"
        return Check(id="mdns", verdict="warning", detail="no network interface looks like a local network", fix=fix)
    return Check(id="mdns", verdict="ok", detail=", ".join(f"{i.name} {i.address}" for i in chosen))


def _multicast(about: Circumstances) -> Iterator[Check]:
    online = [peer for peer in about.peers if peer.paired and not peer.is_self and peer.state == "online"]
    if about.uses_mdns and online and not any(peer.is_announced for peer in online):
        why = f"{len(online)} devices are online and mDNS hears none: multicast is blocked (AP isolation, firewall)"
        fix = "allow UDP port 5353, or leave it: known addresses work, and new devices join with `join --at`"
        yield Check(id="multicast", verdict="warning", detail=why, fix=fix)


def _versions(about: Circumstances) -> Iterator[Check]:
    for peer in about.peers:
        if peer.vitals and peer.vitals.versions.cellmind != about.versions.cellmind:
            why = f"{peer.name} has CellMind {peer.vitals.versions.cellmind}, this device {about.versions.cellmind}"
            fix = "pip install --upgrade cellmind, on the older one"
            yield Check(id=f"version {peer.name}", verdict="warning", detail=why, fix=fix)


def _peers(about: Circumstances) -> Iterator[Check]:
    members = [peer for peer in about.peers if peer.paired and not peer.is_self]
    if not members:
        yield Check(
            id="cell",
            verdict="warning",
            detail="this cell has one device",
            fix="cellmindctl invite, then join on another",
        )
    for peer in members:
        name = f"peer {peer.name}"
        if peer.state == "online":
            yield Check(id=name, verdict="ok", detail=f"online, found by {peer.how}")
        else:
            fix = "wake it, or if its address changed: cellmindctl connect HOST:PORT"
            yield Check(
                id=name,
                verdict="warning",
                detail=f"{peer.state}; tried {', '.join(peer.addresses) or 'nothing'}",
                fix=fix,
            )
