"""`cellmindctl resume`: go on with a run from its last checkpoint, with the devices that are there now."""

from __future__ import annotations

from dataclasses import replace

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.plain import to_plain
from cellmind_ctl.discover import held_models, list_runs, run_named
from cellmind_ctl.planning import plan_run
from cellmind_ctl.session import Session, command
from cellmind_ctl.watching import follow, summary


@command("resume")
@click.argument("run")
@click.option("--devices", metavar="NAME,...", help="Only these devices.")
@click.option("--detach", is_flag=True, help="Start, and do not watch.")
def command_(session: Session, run: str, devices: str | None, detach: bool) -> None:
    """Go on with RUN from its last checkpoint."""
    # 1. Which run, and its newest checkpoint on any device that is online.
    view = run_named(list_runs(session.client), run)
    if view.state in ("preparing", "training"):
        raise CellmindError(f"{view.run} is running", f"cellmindctl watch {view.run}")
    holder, checkpoint = _newest_checkpoint(session, view.run)
    spec = session.client.request(m.GetRun(run=view.run), m.RunFound, device=holder).spec
    # 2. A roster of who is there now.
    made = plan_run(session.client, spec.batch_samples, devices.split(",") if devices else ())
    spec = replace(
        spec, roster=made.roster, backend=made.backend, backend_reason=made.backend_reason, resume_from=checkpoint
    )
    leader = made.roster[0].device
    if session.is_json:
        session.emit_event("plan", {**to_plain(made), "run": spec.run, "step": checkpoint.step})
    else:
        names = ", ".join(member.name for member in made.roster)
        session.tell(f"{spec.run} from step {checkpoint.step} on {names}")
    # 3. The leader fetches what it lacks from whoever has it.
    session.client.request(m.StartRun(spec=spec), m.Done, device=leader)
    if detach:
        return
    finished = follow(session, spec.run, leader)
    if finished and not session.is_json:
        print(summary(finished))


def _newest_checkpoint(session: Session, run: RunId) -> tuple[DeviceId, m.ModelView]:
    """Raises UnknownNameError."""
    found: list[tuple[int, DeviceId, m.ModelView]] = []
    for peer, models in held_models(session.client):
        found += [(model.step, peer.id, model) for model in models if model.model == run]
    if not found:
        raise UnknownNameError(f"no device that is online has a checkpoint of {run}", "cellmindctl train starts anew")
    _, holder, model = max(found, key=lambda item: item[0])
    return holder, model
