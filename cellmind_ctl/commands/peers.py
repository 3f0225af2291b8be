"""`cellmindctl peers`: list the devices of the cell, and unpaired devices nearby."""

from __future__ import annotations

import time

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import short
from cellmind_agent.protocol.messages import Figure, PeerView
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl import figures
from cellmind_ctl.discover import list_peers
from cellmind_ctl.session import Session, command

_WATCH_SECONDS = 1.0  # the agent already holds the answer, so a request a second costs nothing
HEADERS = ("name", "state", "cpu", "ram free", "accel", "tok/s", "battery", "address", "seen")
WIDE_HEADERS = (
    "name",
    "id",
    "role",
    "state",
    "cpu",
    "ram free",
    "accel",
    "tok/s",
    "battery",
    "os",
    "torch",
    "run",
    "limit",
    "how",
    "address",
    "seen",
)
RIGHT = ("cpu", "ram free", "tok/s")
LESS = ("accel", "battery", "ram free", "address", "cpu", "tok/s")  # leave a narrow table in this order


@command("peers")
@click.option("--watch", is_flag=True, help="Keep showing until Ctrl-C.")
@click.option("--wide", is_flag=True, help="Show ids, roles and versions too.")
def command_(session: Session, watch: bool, wide: bool) -> None:
    """List the devices of the cell, and unpaired devices nearby."""
    # 1. Ask the agent. It already knows all of them, so there is nothing to wait for.
    listed = session.client.request(m.ListPeers())
    peers = listed.peers
    for alarm in listed.alarms:
        session.notice(t("warning: {what}", what=t(alarm)))
    # 2. Show them, once or repeatedly.
    if session.is_json:
        session.emit("peers", [peer_json(peer) for peer in peers])
        while watch:
            time.sleep(_WATCH_SECONDS)
            session.emit("peers", [peer_json(peer) for peer in list_peers(session.client)])
        return
    from cellmind_ctl.render import LiveView, print_table

    headers = WIDE_HEADERS if wide else HEADERS
    if not watch:
        print_table(session.color, headers, [row(peer, wide) for peer in peers], RIGHT, LESS, wide)
        for peer in peers:
            if peer.vitals and peer.vitals.run is None and peer.vitals.training_limit:
                why = t(peer.vitals.training_limit.why)
                session.notice(t("{name} does not train now: {why}", name=peer.name, why=why))
        return
    with LiveView(session.color) as view:
        while True:
            view.show("", headers, [row(peer, wide) for peer in list_peers(session.client)], RIGHT, LESS)
            time.sleep(_WATCH_SECONDS)


def peer_json(peer: PeerView) -> dict[str, object]:
    """The fields that scripts rely on: sizes in bytes, moments in RFC 3339, null where a value is not known."""
    vitals = peer.vitals
    seen = None if peer.seen_seconds is None else figures.rfc3339(time.time() - peer.seen_seconds)
    return {
        "id": peer.id,
        "name": peer.name,
        "role": peer.role,
        "paired": peer.paired,
        "state": peer.state,
        "is_self": peer.is_self,
        "addresses": list(peer.addresses),
        "found_by": peer.how,
        "os": vitals.os if vitals else None,
        "arch": vitals.arch if vitals else None,
        "versions": to_json(vitals.versions) if vitals else None,
        "cpu_percent": _value(vitals.cpu_percent) if vitals else None,
        "cpu_count": vitals.cpu_count if vitals else None,
        "load": _value(vitals.load) if vitals else None,
        "ram_total_bytes": _bytes(vitals.ram_total_bytes) if vitals else None,
        "ram_available_bytes": _bytes(vitals.ram_available_bytes) if vitals else None,
        "disk_free_bytes": _bytes(vitals.disk_free_bytes) if vitals else None,
        "temperature_celsius": _value(vitals.temperature_celsius) if vitals else None,
        "accelerator": to_json(vitals.accelerator) if vitals else None,
        "battery": to_json(vitals.battery) if vitals else None,
        "tokens_per_second": _value(vitals.tokens_per_second) if vitals else None,
        "run": vitals.run if vitals else None,
        "training_limit": to_json(vitals.training_limit) if vitals else None,
        "carried_bytes": peer.carried_bytes,
        "last_seen": seen,
    }


def row(peer: PeerView, wide: bool) -> list[str]:
    """The cells of a device, in the order of HEADERS, or of WIDE_HEADERS."""
    vitals = peer.vitals
    state: str = peer.state if peer.paired else "unpaired"
    if vitals and vitals.run and peer.state == "online":
        state = "paused" if vitals.training_limit and vitals.training_limit.is_paused else "training"
    name = peer.name + t(" (this)") if peer.is_self else peer.name
    battery = figures.UNKNOWN
    if vitals and vitals.battery:
        battery = figures.percent(vitals.battery.percent) + ("+" if vitals.battery.plugged else "")
    accelerator = vitals.accelerator.name if vitals and vitals.accelerator else figures.UNKNOWN
    cells = {
        "name": name,
        "id": short(peer.id),
        "role": t(peer.role) if peer.role else figures.UNKNOWN,
        "state": t(state),
        "cpu": figures.percent(_value(vitals.cpu_percent)) if vitals else figures.UNKNOWN,
        "ram free": figures.size(_value(vitals.ram_available_bytes)) if vitals else figures.UNKNOWN,
        "accel": accelerator if wide else accelerator.replace("NVIDIA ", "")[:10],
        "tok/s": figures.number(_value(vitals.tokens_per_second)) if vitals else figures.UNKNOWN,
        "battery": battery,
        "os": vitals.os if vitals else figures.UNKNOWN,
        "torch": (vitals.versions.torch if vitals else None) or figures.UNKNOWN,
        "run": (vitals.run if vitals else None) or figures.UNKNOWN,
        "limit": t(vitals.training_limit.why) if vitals and vitals.training_limit else figures.UNKNOWN,
        "how": peer.how or figures.UNKNOWN,
        "address": peer.addresses[0] if peer.addresses else figures.UNKNOWN,
        "seen": figures.ago(peer.seen_seconds) if peer.paired else figures.UNKNOWN,
    }
    return [cells[header] for header in (WIDE_HEADERS if wide else HEADERS)]


def _value(figure: Figure | None) -> float | None:
    return figure.value if figure else None


def _bytes(figure: Figure | None) -> int | None:
    return int(figure.value) if figure else None
