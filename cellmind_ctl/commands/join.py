"""`cellmindctl join`: join the cell that invited this device."""

from __future__ import annotations

import os
import sys

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.words import t
from cellmind_ctl.session import Session, command, is_interactive

_JOIN_SECONDS = 30.0  # finding the inviter by mDNS and two round trips of the proof, over slow Wi-Fi


@command("join")
@click.argument("code", nargs=-1)
@click.option("--at", metavar="HOST:PORT[/KEY]", help="The address of the inviter, where mDNS does not find it.")
def command_(session: Session, code: tuple[str, ...], at: str | None) -> None:
    """Join a cell with a code from `cellmindctl invite`. Without CODE it asks for it, or reads it from standard input.

    Capitals, spaces instead of hyphens, and a keyboard that is set to Hangul make no difference.
    """
    # 1. Take the code from the arguments, the environment, standard input or a prompt.
    if code:
        what = t(
            "other users of this machine can read the code in its list of processes; `cellmindctl join` asks for it"
        )
        session.notice(t("warning: {what}", what=what))
    typed = " ".join(code) or os.environ.get("CELLMIND_JOIN_CODE") or _read_code()
    # 2. The agent finds the inviter. Each of the two proves to the other that it knows the code.
    joined = session.client.request(m.JoinCell(code=typed, at=at), seconds=max(session.timeout_seconds, _JOIN_SECONDS))
    # 3. Show whose cell this device joined.
    if session.is_json:
        session.emit("join", {"inviter": joined.inviter, "members": list(joined.members)})
    else:
        print(t("joined the cell of {inviter}: {members}", inviter=joined.inviter, members=", ".join(joined.members)))


def _read_code() -> str:
    """The code that the person types or that a script pipes in. Raises UsageError when there is none."""
    if is_interactive():
        return str(click.prompt(t("join code"), err=True))
    code = sys.stdin.readline().strip() if sys.stdin else ""
    if not code:
        raise UsageError("no join code was given", "it is read from standard input or CELLMIND_JOIN_CODE")
    return code
