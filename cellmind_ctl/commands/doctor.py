"""`cellmindctl doctor`: run checks, each of which has an id, a verdict and one fix."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import NoAgentsFoundError
from cellmind_agent.protocol.limits import DEFAULT_PORT
from cellmind_agent.protocol.messages import Check
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl.help import columns
from cellmind_ctl.session import Session, command
from model.line.sentence import Sentence


@command("doctor")
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the checks to a file as JSON.",
)
def command_(session: Session, report: Path | None) -> int:
    """Check this device and its cell. The exit code is 1 if a check finds an error."""
    # 1. The agent runs the checks. A missing agent is a result too.
    try:
        checks = session.client.request(m.RunChecks()).checks
    except NoAgentsFoundError as error:
        checks = (Check(id="agent", verdict="error", detail=error.message, fix=error.hint), *_taken_port())
    # 2. Show the checks, and write them to the report.
    plain = [to_json(check) for check in checks]
    if report:
        report.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if session.is_json:
        session.emit("doctor", plain)
    else:
        _show(checks)
    # 3. The worst verdict decides the exit code.
    return 1 if any(check.verdict == "error" for check in checks) else 0


def _show(checks: tuple[Check, ...]) -> None:
    verdicts = [t(check.verdict) for check in checks]
    left = max(columns(verdict) for verdict in verdicts) + 1
    for check, verdict in zip(checks, verdicts, strict=True):
        print(f"{verdict}{' ' * (left - columns(verdict))}{check.id}: {t(check.detail)}")
        if check.fix:
            print(" " * left + t("fix: {fix}", fix=check.fix))


def _taken_port() -> tuple[Check, ...]:
    """A warning when an agent could not start here because another program listens on its port."""
    try:
        with socket.create_server(("", DEFAULT_PORT)):
            return ()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return ()
    other_port = f"0.0.0.0:{DEFAULT_PORT + 1}"
    fix = Sentence("stop that program, or choose another port: cellmind-agent --listen {address}", address=other_port)
    why = Sentence("TCP port {port} is taken by another program (or another home's agent)", port=DEFAULT_PORT)
    return (Check(id="port", verdict="warning", detail=why, fix=fix),)
