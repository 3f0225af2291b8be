"""`cellmindctl sync`: the newest checkpoint onto every device now."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, DegradedError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_ctl.discover import held_models, list_peers
from cellmind_ctl.session import Session, command

_FETCH_SECONDS = 3600.0


@command("sync")
@click.argument("model", required=False)
def command_(session: Session, model: str | None) -> None:
    """Put the newest checkpoint of MODEL (default: the newest of all) onto every device."""
    # 1. Who is in the cell, who of them can be asked, and who holds what.
    peers = [peer for peer in list_peers(session.client) if peer.paired]
    held = held_models(session.client)
    found = [item for _, models in held for item in models if model is None or item.model.startswith(model)]
    if not found:
        what = f"no model is called {model!r}" if model else "there is no model yet"
        raise UnknownNameError(f"{what} on any device that is online", "cellmindctl models")
    newest = max(found, key=lambda item: (item.created, item.step))
    # 2. Each that lacks it fetches it from the others.
    results = {peer.name: peer.state if peer.state != "online" else "went away" for peer in peers}
    for peer, models in held:
        results[peer.name] = "had it" if newest in models else _fetch(session, peer.id, newest)
    # 3. Every device is named; one that has it not makes the exit code 6.
    if session.is_json:
        session.emit("sync", {"model": newest.model, "step": newest.step, "devices": results})
    else:
        print(f"{newest.model} step {newest.step}")
        for name, result in results.items():
            print(f"  {name}: {result}")
    without = [name for name, result in results.items() if result not in ("had it", "fetched it")]
    if without:
        raise DegradedError(f"not on {', '.join(without)}", "wake them and run cellmindctl sync again")


def _fetch(session: Session, device: DeviceId, model: m.ModelView) -> str:
    try:
        session.client.request(m.KeepModel(model=model), m.Done, device=device, seconds=_FETCH_SECONDS)
    except CellmindError as error:
        return f"failed: {error.message}"
    return "fetched it"
