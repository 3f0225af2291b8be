"""`cellmindctl watch`: follow a run."""

from __future__ import annotations

import click

from cellmind_ctl.discover import list_runs, run_named
from cellmind_ctl.session import Session, command
from cellmind_ctl.story import print_contributors
from cellmind_ctl.watching import follow, summary


@command("watch")
@click.argument("run", required=False)
def command_(session: Session, run: str | None) -> None:
    """Follow RUN (default: the run that is training now). Ctrl-C leaves it alone; a second Ctrl-C stops it."""
    view = run_named(list_runs(session.client), run)
    finished = follow(session, view.run, view.leader)
    if finished and not session.is_json:
        print(summary(finished))
        print_contributors(session, finished.run)
