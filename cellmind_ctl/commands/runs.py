"""`cellmindctl runs`: list the runs that the cell knows."""

from __future__ import annotations

import time

from cellmind_agent.protocol.messages import RunView
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl import figures
from cellmind_ctl.discover import list_runs
from cellmind_ctl.session import Session, command

HEADERS = ("run", "state", "step", "held-out", "choices", "devices", "started")
RIGHT = ("step", "held-out", "choices")
LESS = ("held-out", "choices")  # leave a narrow table in this order


@command("runs")
def command_(session: Session) -> None:
    """List the runs that the devices online know, newest first."""
    runs = list_runs(session.client)
    if session.is_json:
        session.emit("runs", [_json(run) for run in runs])
        return
    from cellmind_ctl.render import print_table

    now = time.time()
    print_table(session.color, HEADERS, [row(run, now) for run in runs], RIGHT, LESS)
    for run in runs:
        if run.error:
            session.notice(f"{run.run}: {t(run.error)}")


def row(run: RunView, now: float) -> list[str]:
    """The cells of a run, in the order of HEADERS; `now` in seconds since 1970."""
    return [
        run.run,
        t(run.state),
        f"{run.step}/{run.total_steps}",
        figures.number(run.val_loss, 3),
        figures.number(figures.choices(run.val_loss)),
        ", ".join(run.roster),
        figures.ago(now - run.created),
    ]


def _json(run: RunView) -> dict[str, object]:
    created, found = figures.rfc3339(run.created), figures.choices(run.val_loss)
    return {**to_json(run), "created": created, "choices": found}
