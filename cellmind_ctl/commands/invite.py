"""`cellmindctl invite`: let another device join."""

from __future__ import annotations

import sys

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.messages import Role
from cellmind_agent.words import t
from cellmind_ctl.figures import parse_duration
from cellmind_ctl.session import Session, command


@command("invite")
@click.option(
    "--role",
    type=click.Choice(["member", "owner"]),
    default="member",
    show_default=True,
    help="What the new device may do.",
)
@click.option("--expires", default="10m", show_default=True, help="How long the code is valid, such as 90s, 10m or 2h.")
def command_(session: Session, role: Role, expires: str) -> None:
    """Print a one-time join code, wait, and print who joined."""
    request = m.OpenInvitation(role=role, seconds=parse_duration(expires))
    for event in session.client.stream(request):
        # 1. Print the code at once, on stdout, so that a script can read it.
        if isinstance(event, m.InvitationOpened):
            if session.is_json:
                fields = {"code": event.code, "expires_seconds": event.seconds, "addresses": list(event.addresses)}
                session.emit("invite", fields)
            else:
                _show(event)
        # 2. Print who joined.
        elif isinstance(event, m.DeviceJoined):
            if session.is_json:
                session.emit("invite", {"joined": {"id": event.device, "name": event.name, "role": event.role}})
            else:
                print(t("{name} joined as {role}", name=event.name, role=event.role))


def _show(event: m.InvitationOpened) -> None:
    print(t("join code: {code}", code=event.code), flush=True)
    print(t("on the other device: cellmindctl join {code}", code=event.code), file=sys.stderr)
    for address in event.addresses[:1]:
        text = "where multicast does not reach: cellmindctl join {code} --at {address}"
        print(t(text, code=event.code, address=address), file=sys.stderr)
    if sys.stderr.isatty():
        import segno

        segno.make(f"cellmind:{event.code}", error="m").terminal(out=sys.stderr, compact=True)
    text = "valid for {minutes} minutes and three tries; waiting (Ctrl-C ends the invitation)"
    print(t(text, minutes=f"{event.seconds / 60:.0f}"), file=sys.stderr, flush=True)
