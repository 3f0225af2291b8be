"""`cellmindctl recovery`: the recovery code of the cell, to be written down."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.words import t
from cellmind_ctl.session import Session, command, is_confirmed, is_interactive


@command("recovery")
@click.option("--yes", is_flag=True, help="It is written down: erase it from this device.")
def command_(session: Session, yes: bool) -> None:
    """Show the recovery code of the cell, once: write it down on paper, on the device that founded the cell.

    With it you can remove any device, also the one that founded the cell: cellmindctl forget DEVICE --recovery
    """
    shown = session.client.request(m.ShowRecovery())
    if session.is_json:
        session.emit("recovery", {"code": shown.code, "erased": yes})
    else:
        print(shown.code)
    if not yes and not session.is_json and is_interactive():
        yes = is_confirmed(t("is it on paper? then it is erased here"))
    if yes:
        session.client.request(m.EraseRecovery())
        session.notice(t("the code is on your paper only"))
    else:
        session.notice(t("the code stays on this device: cellmindctl recovery shows it again"))
