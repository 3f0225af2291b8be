"""`cellmindctl resume`: continue a run from its last checkpoint, on the devices that are online now."""

from __future__ import annotations

from dataclasses import replace

import click

from cellmind_agent.planning.backends import BACKEND_CHOICES
from cellmind_agent.planning.recruits import as_allowed, may_take_part
from cellmind_agent.planning.resuming import is_under_way, newest_checkpoint
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl.discover import held_models, list_peers, list_runs, run_named
from cellmind_ctl.planning import devices_named, names_in, plan_again
from cellmind_ctl.session import Session, command
from cellmind_ctl.story import print_contributors
from cellmind_ctl.watching import follow, summary


@command("resume")
@click.argument("run")
@click.option("--devices", metavar="NAME,...", help="Train on these devices only.")
@click.option("--backend", type=click.Choice(BACKEND_CHOICES), help="Process group (default: as chosen for the run).")
@click.option("--detach", is_flag=True, help="Start the run, and do not watch it.")
def command_(session: Session, run: str, devices: str | None, backend: str | None, detach: bool) -> None:
    """Continue RUN from its last checkpoint."""
    # 1. Find the run, and its newest checkpoint on any device that is online.
    view = run_named(list_runs(session.client), run)
    if is_under_way(view):
        raise CellmindError("{run} is running", "cellmindctl watch {run}", run=view.run)
    holder, checkpoint = _newest_checkpoint(session, view.run)
    spec = session.client.request(m.GetRun(run=view.run), device=holder).spec
    # 2. Plan a roster of the devices that are online now, and may take part.
    peers = list_peers(session.client)
    if devices:
        spec = replace(spec, devices=devices_named(peers, devices))
    spec = replace(spec, backend=backend or spec.backend)
    spec = as_allowed(spec, peers)
    allowed = [peer for peer in peers if may_take_part(peer.id, spec)]
    made = plan_again(session.client, spec, allowed, names_in(devices))
    leader = made.roster[0].device
    if session.is_json:
        session.emit_event("plan", {**to_json(made), "run": spec.run, "step": checkpoint.step})
    else:
        on = ", ".join(member.name for member in made.roster)
        session.notice(t("{run} from step {step} on {names}", run=spec.run, step=checkpoint.step, names=on))
    # 3. Start the run. The leader fetches the blobs that it lacks from the devices that hold them.
    request = m.StartRun(spec=spec, roster=made.roster, backend=made.backend, start=checkpoint, newest_term=view.term)
    session.client.request(request, device=leader)
    if detach:
        return
    finished = follow(session, spec.run, leader)
    if finished and not session.is_json:
        print(summary(finished))
        print_contributors(session, finished.run)


def _newest_checkpoint(session: Session, run: RunId) -> tuple[DeviceId, m.ModelView]:
    """The newest checkpoint of `run`, and a device that holds it. Raises UnknownNameError when there is none."""
    found = newest_checkpoint(run, ((peer.id, models) for peer, models in held_models(session.client)))
    if found is None:
        raise UnknownNameError(
            "no device that is online has a checkpoint of {run}", "start a new run: cellmindctl train", run=run
        )
    return found
