"""`cellmindctl stop`: stop a run."""

from __future__ import annotations

import click

from cellmind_agent.words import t
from cellmind_ctl.discover import list_runs, run_named
from cellmind_ctl.following import FollowedRun
from cellmind_ctl.session import Session, command


@command("stop")
@click.argument("run", required=False)
def command_(session: Session, run: str | None) -> None:
    """Stop RUN (default: the run that is training now) at the end of its round."""
    view = run_named(list_runs(session.client), run)
    FollowedRun(session.client, view.run, view.leader).stop()
    if session.is_json:
        session.emit("stop", {"run": view.run})
    else:
        print(t("{run} is stopping; its last checkpoint is kept", run=view.run))
