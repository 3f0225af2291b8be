"""`cellmindctl sync`: the newest checkpoint onto every device now."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, DegradedError, UnknownNameError
from cellmind_ctl.discover import list_peers
from cellmind_ctl.session import Session, command

_FETCH_SECONDS = 3600.0


@command("sync")
@click.argument("model", required=False)
def command_(session: Session, model: str | None) -> None:
    """Put the newest checkpoint of MODEL (default: the newest of all) onto every device."""
    # 1. Who is in the cell, who of them can be asked, and who holds what.
    peers = [peer for peer in list_peers(session.client) if peer.paired]
    online = [peer for peer in peers if peer.state == "online"]
    held = {peer.id: session.client.request(m.ListModels(), m.ModelList, device=peer.id).models for peer in online}
    found = [item for models in held.values() for item in models if model is None or item.model.startswith(model)]
    if not found:
        raise UnknownNameError(
            f"no model {model or ''} on any device that is online".replace("  ", " "), "cellmindctl models"
        )
    newest = max(found, key=lambda item: (item.created, item.step))
    # 2. Each that lacks it fetches it from the others.
    results = {peer.name: "asleep" if peer.state == "asleep" else "gone" for peer in peers if peer.state != "online"}
    for peer in online:
        if any(item.state_hash == newest.state_hash for item in held[peer.id]):
            results[peer.name] = "had it"
            continue
        try:
            session.client.request(m.KeepModel(model=newest), m.Done, device=peer.id, seconds=_FETCH_SECONDS)
            results[peer.name] = "fetched it"
        except CellmindError as error:
            results[peer.name] = f"failed: {error.message}"
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
