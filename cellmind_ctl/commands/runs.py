"""`cellmindctl runs`: list the runs that the cell knows."""

from __future__ import annotations

import time

from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl import figures
from cellmind_ctl.discover import list_runs
from cellmind_ctl.session import Session, command


@command("runs")
def command_(session: Session) -> None:
    """List the runs that the devices online know, newest first."""
    runs = list_runs(session.client)
    if session.is_json:
        session.emit(
            "runs",
            [
                {**to_json(run), "created": figures.rfc3339(run.created), "choices": figures.choices(run.val_loss)}
                for run in runs
            ],
        )
        return
    from cellmind_ctl.render import print_table

    headers = ("run", "state", "step", "held-out", "choices", "devices", "started")
    rows = [
        [
            run.run,
            t(run.state),
            f"{run.step}/{run.total_steps}",
            figures.number(run.val_loss, 3),
            figures.number(figures.choices(run.val_loss)),
            ", ".join(run.roster),
            figures.ago(time.time() - run.created),
        ]
        for run in runs
    ]
    print_table(session.color, headers, rows, right=("step", "held-out", "choices"), less=("held-out",))
    for run in runs:
        if run.error:
            session.notice(f"{run.run}: {t(run.error)}")
