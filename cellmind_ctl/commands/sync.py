"""`cellmindctl sync`: copy the newest checkpoint to every device now."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, DegradedError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_ctl.discover import held_models, list_peers
from cellmind_ctl.session import Session, command

_FETCH_SECONDS = 3600.0  # a large model over slow Wi-Fi; the agent answers when it has all of it


@command("sync")
@click.argument("model", required=False)
def command_(session: Session, model: str | None) -> None:
    """Copy the newest checkpoint of MODEL (default: the newest model) to every device."""
    # 1. List the devices of the cell, and the checkpoints that each device online holds.
    peers = [peer for peer in list_peers(session.client) if peer.paired]
    held = held_models(session.client)
    found = [item for _, models in held for item in models if model is None or item.model.startswith(model)]
    if not found:
        missing = f"no model is called {model!r}" if model else "there is no model yet"
        raise UnknownNameError(f"{missing} on any device that is online", "cellmindctl models")
    newest = max(found, key=lambda item: (item.created, item.step))
    # 2. Each device that lacks the newest checkpoint fetches it from the others.
    results = {peer.name: peer.state if peer.state != "online" else "went away" for peer in peers}
    for peer, models in held:
        results[peer.name] = "had it" if newest in models else _fetch(session, peer.id, newest)
    # 3. Name every device. If one of them still lacks it, the exit code is 6.
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
    """What became of it, in words: one device that fails must not end the command for the others."""
    try:
        session.client.request(m.KeepModel(model=model), device=device, seconds=_FETCH_SECONDS)
    except CellmindError as error:
        return f"failed: {error.message}"
    return "fetched it"
