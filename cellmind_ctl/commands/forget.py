"""`cellmindctl forget`: remove a device from the cell."""

from __future__ import annotations

import os
import sys

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.words import t
from cellmind_ctl.discover import device_named
from cellmind_ctl.session import Session, command, is_confirmed, is_interactive


@command("forget")
@click.argument("device")
@click.option("--recovery", is_flag=True, help="With the recovery code of the cell, from any of its devices.")
@click.option("--yes", is_flag=True, help="Remove it without a question.")
def command_(session: Session, device: str, recovery: bool, yes: bool) -> None:
    """Remove DEVICE (a name or an id) from the keyring. From then on it can do nothing in the cell.

    An owner can remove members, and owners that were let in after it. The recovery code can remove any device.

    Copies of models and text that it already has stay on it. A script is not asked: a removal may be urgent.
    """
    # 1. Find the device. A person is asked, a script is not.
    peer = device_named(session.client, device)
    session.notice(t("models and text that {name} has already copied stay there", name=peer.name))
    is_asked = is_interactive() and not yes and not session.is_json
    if is_asked and not is_confirmed(t("remove {name} from the cell?", name=peer.name)):
        session.notice(t("nothing was removed"))
        return
    # 2. The agent signs the removal and sends it to the others.
    code = _read_code() if recovery else ""
    forgotten = session.client.request(m.ForgetDevice(device=peer.id, recovery=code))
    # 3. Show which devices were informed.
    if session.is_json:
        session.emit("forget", {"id": forgotten.device, "name": forgotten.name, "told": list(forgotten.told)})
    else:
        devices = ", ".join(forgotten.told) or t("no other device was online")
        print(t("{name} is removed from the cell; informed devices: {devices}", name=forgotten.name, devices=devices))


def _read_code() -> str:
    """The recovery code, never as an argument, which other people on this machine could read. Raises UsageError."""
    if is_interactive():
        return str(click.prompt(t("recovery code"), err=True, hide_input=True))
    code = os.environ.get("CELLMIND_RECOVERY_CODE") or (sys.stdin.readline().strip() if sys.stdin else "")
    if not code:
        raise UsageError("no recovery code was given", "it is read from standard input or CELLMIND_RECOVERY_CODE")
    return code
