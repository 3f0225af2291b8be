"""`cellmindctl logs`: print a device's log, over the agents' own link."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.limits import MAX_LOG_TAIL_LINES
from cellmind_ctl.discover import device_named
from cellmind_ctl.figures import parse_duration
from cellmind_ctl.session import Session, command


@command("logs")
@click.argument("device", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing until Ctrl-C.")
@click.option("--since", metavar="10m", help="Only lines that are newer than this.")
@click.option(
    "--tail",
    type=click.IntRange(0, MAX_LOG_TAIL_LINES),
    default=100,
    show_default=True,
    help="How many of the last lines.",
)
def command_(session: Session, device: str | None, follow: bool, since: str | None, tail: int) -> None:
    """Print the log of DEVICE (default: this device)."""
    target = device_named(session.client, device).id if device else None
    request = m.ReadLog(tail=tail, since_seconds=parse_duration(since) if since else None, follow=follow)
    for event in session.client.stream(request, target):
        for line in event.lines:
            if session.is_json:
                session.emit_event("line", {"line": line})
            else:
                print(line, flush=follow)
