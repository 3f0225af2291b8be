"""`cellmindctl runs`: list the runs that the cell knows."""

from __future__ import annotations

import time

from cellmind_agent.protocol.plain import to_json
from cellmind_ctl import figures
from cellmind_ctl.discover import list_runs
from cellmind_ctl.session import Session, command


@command("runs")
def command_(session: Session) -> None:
    """List the runs that the devices online know, newest first."""
    runs = list_runs(session.client)
    if session.is_json:
        session.emit("runs", [{**to_json(run), "created": figures.rfc3339(run.created)} for run in runs])
        return
    from cellmind_ctl.render import print_table

    headers = ("run", "state", "step", "held-out", "devices", "started")
    rows = [
        [
            run.run,
            run.state,
            f"{run.step}/{run.total_steps}",
            figures.number(run.val_loss, 3),
            ", ".join(run.roster),
            figures.ago(time.time() - run.created),
        ]
        for run in runs
    ]
    print_table(session.color, headers, rows, right=("step", "held-out"))
    for run in runs:
        if run.error:
            session.notice(f"{run.run}: {run.error}")
