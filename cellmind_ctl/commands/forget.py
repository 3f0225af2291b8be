"""`cellmindctl forget`: remove a device from the cell."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_ctl.discover import device_named
from cellmind_ctl.session import Session, command
from cellmind_ctl.words import t


@command("forget")
@click.argument("device")
def command_(session: Session, device: str) -> None:
    """Remove DEVICE (a name or id) from the keyring; it can do nothing from then on."""
    # 1. Which device is meant.
    peer = device_named(session.client, device)
    # 2. The agent signs its removal and tells the others.
    forgotten = session.client.request(m.ForgetDevice(device=peer.id), m.DeviceForgotten)
    # 3. Say who knows.
    if session.is_json:
        session.emit("forget", {"id": forgotten.device, "name": forgotten.name, "told": list(forgotten.told)})
    else:
        told = ", ".join(forgotten.told) or t("nobody else was online")
        print(t("{name} is forgotten; told: {told}", name=forgotten.name, told=told))
