"""`cellmindctl forget`: remove a device from the cell."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.words import t
from cellmind_ctl.discover import device_named
from cellmind_ctl.session import Session, command


@command("forget")
@click.argument("device")
def command_(session: Session, device: str) -> None:
    """Remove DEVICE (a name or an id) from the keyring. From then on it can do nothing in the cell."""
    # 1. Find the device.
    peer = device_named(session.client, device)
    # 2. The agent signs the removal and sends it to the others.
    forgotten = session.client.request(m.ForgetDevice(device=peer.id))
    # 3. Show which devices were informed.
    if session.is_json:
        session.emit("forget", {"id": forgotten.device, "name": forgotten.name, "told": list(forgotten.told)})
    else:
        devices = ", ".join(forgotten.told) or t("no other device was online")
        print(t("{name} is removed from the cell; informed devices: {devices}", name=forgotten.name, devices=devices))
