"""`cellmindctl runs`: list the runs that the cell knows, and show how one went."""

from __future__ import annotations

import time

import click

from cellmind_agent.protocol.messages import RunView
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl import figures, story
from cellmind_ctl.discover import list_runs, run_named, run_story
from cellmind_ctl.session import Group, Session, pass_session

HEADERS = ("run", "state", "step", "held-out", "choices", "devices", "started")
RIGHT = ("step", "held-out", "choices")
LESS = ("held-out", "choices")  # leave a narrow table in this order


@click.group("runs", cls=Group, invoke_without_command=True)
@click.pass_context
@pass_session
def command_(session: Session, context: click.Context) -> None:
    """List the runs that the devices online know, newest first."""
    if context.invoked_subcommand:
        return
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


@command_.command("show")
@click.argument("run", required=False)
@click.option("--all", "is_all", is_flag=True, help="Show all checkpoints, not only some of them.")
@pass_session
def show_(session: Session, run: str | None, is_all: bool) -> None:
    """Show how RUN (default: the newest) went, who contributed what, and what the model wrote at its checkpoints.

    At each checkpoint the model continues the same three beginnings of texts that it is not trained on.
    """
    view = run_named(list_runs(session.client), run)
    found = run_story(session.client, view.run)
    if session.is_json:
        session.emit("runs.show", {**_json(view), **story.to_json(found)})
        return
    story.print_story(session, view, found, None if is_all else story.SHOWN_CHECKPOINTS)


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
