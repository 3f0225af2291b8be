"""The checks of `cellmindctl doctor`: each finds one thing that may be wrong, and names one fix. Changes nothing."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.network.interfaces import choose_interfaces, read_interfaces
from cellmind_agent.planning.reach import Reach, explain
from cellmind_agent.protocol.limits import LOW_SPACE_BYTES
from cellmind_agent.protocol.messages import Check, PeerView, Versions
from model.line.sentence import Sentence

_EARLIEST_TIME = 1_750_000_000  # June 2025: a clock that shows less was never set


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """What the checks need to know. `port` is the agent's; `peers` are all devices that it sees, and this one."""

    home: Path
    port: int
    uses_mdns: bool
    interfaces: Sequence[str]
    versions: Versions
    peers: Sequence[PeerView]
    alarms: Sequence[tuple[Sentence, Sentence]]  # about the keyring, each with what to do
    unseen_seconds: float  # a member that has not been here for so long is offered for removal
    is_recovery_due: bool  # the recovery code is on this device alone, and others depend on it


def run_checks(context: CheckContext, reaches: Sequence[Reach]) -> tuple[Check, ...]:
    """Every check, in the order that suits a reader. `reaches` are the results of devices dialling each other."""
    return (
        Check(id="agent", verdict="ok", detail=Sentence("serves on port {port}", port=context.port)),
        _home(context),
        _disk(context),
        _clock(),
        _python(),
        _torch(context),
        _mdns(context),
        *_multicast(context),
        *_versions(context),
        *_keyring(context),
        *_peers(context),
        *explain(reaches, context.peers),
    )


def _home(context: CheckContext) -> Check:
    # The home holds secret keys.
    mode = context.home.stat().st_mode & 0o777
    if mode & 0o077:
        return Check(
            id="home",
            verdict="error",
            detail=Sentence("{home} is open to others", home=context.home),
            fix=Sentence("chmod 700 {home}", home=context.home),
        )
    return Check(id="home", verdict="ok", detail=Sentence("{home} is private", home=context.home))


def _keyring(context: CheckContext) -> Iterator[Check]:
    for alarm, remedy in context.alarms:
        yield Check(id="keyring", verdict="warning", detail=alarm, fix=remedy)
    if context.is_recovery_due:
        yield Check(
            id="keyring",
            verdict="warning",
            detail=Sentence("if this device is lost or stolen, nobody can remove it from the cell"),
            fix=Sentence("write the recovery code down: cellmindctl recovery"),
        )
    if not context.alarms and not context.is_recovery_due:
        yield Check(id="keyring", verdict="ok", detail=Sentence("every change of the keyring was by right"))


def _disk(context: CheckContext) -> Check:
    free = shutil.disk_usage(context.home).free
    detail = Sentence("{count} MB free", count=free >> 20)
    if free < LOW_SPACE_BYTES:
        return Check(
            id="disk", verdict="warning", detail=detail, fix=Sentence("cellmindctl models rm NAME, or free some space")
        )
    return Check(id="disk", verdict="ok", detail=detail)


def _clock() -> Check:
    if time.time() < _EARLIEST_TIME:
        return Check(
            id="clock",
            verdict="warning",
            detail=Sentence("the clock was never set"),
            fix=Sentence("turn on network time"),
        )
    return Check(id="clock", verdict="ok", detail=Sentence(time.strftime("%Y-%m-%d %H:%M:%S %Z")))


def _python() -> Check:
    return Check(
        id="python",
        verdict="ok",
        detail=Sentence(f"{sys.version.split()[0]} ({sys.platform})"),
    )


def _torch(context: CheckContext) -> Check:
    if context.versions.torch is None:
        fix = Sentence("run ./install again, without --no-train")
        return Check(
            id="torch",
            verdict="warning",
            detail=Sentence("not installed: this device can neither train nor answer"),
            fix=fix,
        )
    return Check(id="torch", verdict="ok", detail=Sentence(context.versions.torch))


def _mdns(context: CheckContext) -> Check:
    if not context.uses_mdns:
        return Check(id="mdns", verdict="skipped", detail=Sentence("switched off by --no-mdns"))
    chosen = choose_interfaces(read_interfaces(), context.interfaces)
    if not chosen:
        fix = Sentence("cellmind-agent --interface NAME, or cellmindctl connect HOST:PORT")
        return Check(
            id="mdns", verdict="warning", detail=Sentence("no network interface looks like a local network"), fix=fix
        )
    return Check(id="mdns", verdict="ok", detail=Sentence(", ".join(f"{i.name} {i.address}" for i in chosen)))


def _multicast(context: CheckContext) -> Iterator[Check]:
    online = [peer for peer in context.peers if peer.paired and not peer.is_self and peer.state == "online"]
    if context.uses_mdns and online and not any(peer.is_announced for peer in online):
        why = Sentence(
            "{count} devices are online and mDNS hears none: multicast is blocked (AP isolation, firewall)",
            count=len(online),
        )
        fix = Sentence("allow UDP port 5353, or leave it: known addresses work, and new devices join with `join --at`")
        yield Check(id="multicast", verdict="warning", detail=why, fix=fix)


def _versions(context: CheckContext) -> Iterator[Check]:
    for peer in context.peers:
        if peer.vitals and peer.vitals.versions.cellmind != context.versions.cellmind:
            why = Sentence(
                "{name} has CellMind {other}, this device {own}",
                name=peer.name,
                other=peer.vitals.versions.cellmind,
                own=context.versions.cellmind,
            )
            fix = Sentence("cellmindctl update, on the older one")
            yield Check(id=f"version {peer.name}", verdict="warning", detail=why, fix=fix)


def _peers(context: CheckContext) -> Iterator[Check]:
    members = [peer for peer in context.peers if peer.paired and not peer.is_self]
    if not members:
        yield Check(
            id="cell",
            verdict="warning",
            detail=Sentence("this cell has one device"),
            fix=Sentence("cellmindctl invite, then join on another"),
        )
    for peer in members:
        name = f"peer {peer.name}"
        if peer.state == "online":
            yield Check(id=name, verdict="ok", detail=Sentence("online, found by {how}", how=peer.how))
        elif (peer.seen_seconds or 0.0) >= context.unseen_seconds:
            days = int((peer.seen_seconds or 0.0) // (24 * 3600))
            yield Check(
                id=name,
                verdict="warning",
                detail=Sentence("it has not been here for {days} days", days=days),
                fix=Sentence("if you do not have it any more: cellmindctl forget {name}", name=peer.name),
            )
        else:
            fix = Sentence("wake it, or if its address changed: cellmindctl connect HOST:PORT")
            yield Check(
                id=name,
                verdict="warning",
                detail=_unreached(peer),
                fix=fix,
            )


def _unreached(peer: PeerView) -> Sentence:
    state = Sentence(peer.state)
    if not peer.addresses:
        return Sentence("{state}; no address of it is known", state=state)
    return Sentence("{state}; tried {addresses}", state=state, addresses=", ".join(peer.addresses))
