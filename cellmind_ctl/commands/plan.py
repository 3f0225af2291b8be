"""`cellmindctl plan`: do what `train` does until the start, and show the plan."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from cellmind_agent.planning.backends import AUTO, BACKEND_CHOICES, BACKEND_HELP
from cellmind_agent.planning.mode import ModeChoice
from cellmind_ctl.planning import make_plan, plan_json, show_plan
from cellmind_ctl.project import make_bundle, open_project
from cellmind_ctl.session import Session, command
from cellmind_ctl.simulating import show_simulated


@command("plan")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--data", multiple=True, type=click.Path(path_type=Path), help="Text to train on (repeatable).")
@click.option("--devices", metavar="NAME,...", help="Plan for these devices only.")
@click.option("--all", "takes_all", is_flag=True, help="Every device takes part, also if it slows the run down.")
@click.option("--mode", type=click.Choice(get_args(ModeChoice)), default="auto", help="How the members train together.")
@click.option("--backend", type=click.Choice(BACKEND_CHOICES), default=AUTO, help=BACKEND_HELP)
@click.option("--simulate", metavar="FILE", type=click.Path(path_type=Path), help="Plan for the homes in this file.")
def command_(
    session: Session,
    config: Path | None,
    data: tuple[Path, ...],
    devices: str | None,
    takes_all: bool,
    mode: ModeChoice,
    backend: str,
    simulate: Path | None,
) -> None:
    """Show the roster, shares, mode, backend and data of a run, and start nothing.

    It also measures devices and network, and forecasts how many tokens a second each useful set of devices will train.
    With --simulate it does so for devices that a file describes, and needs no agent.
    """
    if simulate:
        show_simulated(session, simulate)
        return
    project = open_project(config, data, session)
    bundle = make_bundle(project, session)
    made = make_plan(session, bundle, devices, mode, backend, takes_all=takes_all, is_trial=True)
    if session.is_json:
        session.emit("plan", plan_json(made, bundle))
    else:
        show_plan(made, bundle, session)
