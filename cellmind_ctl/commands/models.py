"""`cellmindctl models`: checkpoints known to the cell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnknownNameError, UnreachableError
from cellmind_agent.protocol.messages import ModelView
from cellmind_ctl import figures
from cellmind_ctl.discover import held_models, online_devices
from cellmind_ctl.session import Group, Session, pass_session


@dataclass(slots=True, kw_only=True)
class _Held:
    model: ModelView
    devices: list[str]


@click.group("models", cls=Group, invoke_without_command=True)
@click.pass_context
@pass_session
def command_(session: Session, context: click.Context) -> None:
    """Checkpoints known to the cell, and who holds them."""
    if context.invoked_subcommand:
        return
    found = _find(session)
    if session.is_json:
        session.emit("models", [_json(held) for held in found])
        return
    from cellmind_ctl.render import print_table

    headers = ("model", "step", "held-out", "size", "devices", "made")
    rows = [
        [
            held.model.model,
            str(held.model.step),
            figures.number(held.model.val_loss, 3),
            figures.size(_size(held.model)),
            ", ".join(held.devices),
            figures.ago(time.time() - held.model.created),
        ]
        for held in found
    ]
    print_table(session.color, headers, rows, right=("step", "held-out", "size"))


@command_.command("show")
@click.argument("model")
@pass_session
def show_(session: Session, model: str) -> None:
    """Everything known of MODEL's newest checkpoint."""
    plain = _json(_named(session, model)[0])
    if session.is_json:
        session.emit("models.show", plain)
        return
    for name, value in plain.items():
        print(f"{name:<12} {figures.UNKNOWN if value is None else value}")


@command_.command("rm")
@click.argument("model")
@pass_session
def rm_(session: Session, model: str) -> None:
    """Remove MODEL from every device that is online."""
    name = _named(session, model)[0].model.model
    removed = []
    for peer in online_devices(session.client):
        try:
            session.client.request(m.RemoveModel(model=name), m.Done, device=peer.id)
            removed.append(peer.name)
        except (UnknownNameError, UnreachableError):
            continue
    if session.is_json:
        session.emit("models.rm", {"model": name, "devices": removed})
    else:
        print(f"{name} removed from {', '.join(removed) or 'nowhere'}")


def _find(session: Session) -> list[_Held]:
    """Every checkpoint, newest first, with the names of its holders."""
    found: dict[tuple[str, str], _Held] = {}
    for peer, models in held_models(session.client):
        for model in models:
            held = found.setdefault((model.model, model.state_hash), _Held(model=model, devices=[]))
            held.devices.append(peer.name)
    return sorted(found.values(), key=lambda held: (held.model.created, held.model.step), reverse=True)


def _named(session: Session, name: str) -> list[_Held]:
    """Raises UnknownNameError."""
    found = [held for held in _find(session) if held.model.model.startswith(name)]
    if len({held.model.model for held in found}) != 1:
        raise UnknownNameError(f"no single model is called {name!r}", "cellmindctl models")
    return found


def _size(model: ModelView) -> int:
    return sum(ref.size for ref in model.files.values())


def _json(held: _Held) -> dict[str, Any]:
    model = held.model
    return {
        "model": model.model,
        "step": model.step,
        "tokens": model.tokens,
        "val_loss": model.val_loss,
        "state_hash": model.state_hash,
        "size_bytes": _size(model),
        "files": {name: ref.id for name, ref in model.files.items()},
        "devices": held.devices,
        "created": figures.rfc3339(model.created),
    }
