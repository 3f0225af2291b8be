"""`cellmindctl sync`: copy the newest checkpoint to every device now."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, DegradedError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.words import t
from cellmind_ctl.discover import held_models, list_peers, models_named
from cellmind_ctl.session import Session, command
from model.line.sentence import Sentence

_FETCH_SECONDS = 3600.0  # a large model over slow Wi-Fi; the agent answers when it has all of it
_HAD_IT, _FETCHED_IT = Sentence("had it"), Sentence("fetched it")


@command("sync")
@click.argument("model", required=False)
def command_(session: Session, model: str | None) -> None:
    """Copy the newest checkpoint of MODEL (default: the newest model) to every device."""
    # 1. List the devices of the cell, and the checkpoints that each device online holds.
    peers = [peer for peer in list_peers(session.client) if peer.paired]
    held = held_models(session.client)
    models = [item for _, items in held for item in items]
    if model:
        models = models_named(models, model)
    if not models:
        raise UnknownNameError("no device that is online has a model yet", "cellmindctl train --data FILE")
    newest = max(models, key=lambda item: (item.created, item.step))
    # 2. Each device that lacks the newest checkpoint fetches it from the others.
    results = {peer.name: Sentence(peer.state if peer.state != "online" else "went away") for peer in peers}
    for peer, items in held:
        results[peer.name] = _HAD_IT if newest in items else _fetch(session, peer.id, newest)
    # 3. Name every device. If one of them still lacks it, the exit code is 6.
    if session.is_json:
        session.emit("sync", {"model": newest.model, "step": newest.step, "devices": results})
    else:
        print(t("{model}, step {step}", model=newest.model, step=f"{newest.step:,}"))
        for name, result in results.items():
            print(f"  {name}: {t(result)}")
    without = [name for name, result in results.items() if result not in (_HAD_IT, _FETCHED_IT)]
    if without:
        hint = "wake them and run cellmindctl sync again"
        raise DegradedError("these devices do not have it: {names}", hint, names=", ".join(without))


def _fetch(session: Session, device: DeviceId, model: m.ModelView) -> Sentence:
    """What became of it, in words: one device that fails must not end the command for the others."""
    try:
        session.client.request(m.KeepModel(model=model), device=device, seconds=_FETCH_SECONDS)
    except CellmindError as error:
        return Sentence("failed: {reason}", reason=error.message)
    return _FETCHED_IT
