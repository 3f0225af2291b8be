"""`cellmindctl invite`: let another device join."""

from __future__ import annotations

import sys

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import short
from cellmind_agent.protocol.messages import Role
from cellmind_agent.words import t
from cellmind_ctl.figures import parse_duration
from cellmind_ctl.session import Session, command
from model.line.sentence import Sentence


@command("invite")
@click.option(
    "--role",
    type=click.Choice(["member", "owner"]),
    default="member",
    show_default=True,
    help="What the new device may do.",
)
@click.option(
    "--expires",
    metavar="TIME",
    default="10m",
    show_default=True,
    help="How long the code is valid, such as 90s or 10m.",
)
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
                _show(event, is_shortened=event.seconds < request.seconds)
        # 2. Print who joined.
        elif isinstance(event, m.DeviceJoined):
            if session.is_json:
                session.emit("invite", {"joined": {"id": event.device, "name": event.name, "role": event.role}})
            else:
                print(
                    t(
                        "{name} ({id}) joined as {role}",
                        name=event.name,
                        id=short(event.device),
                        role=Sentence(event.role),
                    )
                )


def _show(event: m.InvitationOpened, is_shortened: bool) -> None:
    print(t("join code: {code}", code=event.code), flush=True)
    print(t("on the other device: cellmindctl join, then type the code"), file=sys.stderr)
    for address in event.addresses[:1]:
        print(t("where multicast does not reach: cellmindctl join --at {address}", address=address), file=sys.stderr)
    if sys.stderr.isatty():
        import segno

        segno.make(f"cellmind:{event.code}", error="m").terminal(out=sys.stderr, compact=True)
    time = length_of_time(event.seconds)
    if is_shortened:
        print(t("note: no code is valid for longer than {time}", time=time), file=sys.stderr)
    text = "valid for {time} and three tries; waiting (Ctrl-C ends the invitation)"
    print(t(text, time=time), file=sys.stderr, flush=True)


def length_of_time(seconds: float) -> Sentence:
    """The time in words, in the largest unit that gives a whole number."""
    whole = max(1, round(seconds))
    for size, one, many in ((3600, "1 hour", "{count} hours"), (60, "1 minute", "{count} minutes")):
        if whole % size == 0:
            return Sentence(one) if whole == size else Sentence(many, count=whole // size)
    return Sentence("1 second") if whole == 1 else Sentence("{count} seconds", count=whole)
