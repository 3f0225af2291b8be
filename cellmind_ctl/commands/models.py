"""`cellmindctl models`: list, show and remove the checkpoints that the cell holds."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnknownNameError, UnreachableError
from cellmind_agent.protocol.messages import ModelView
from cellmind_agent.words import t
from cellmind_ctl import figures
from cellmind_ctl.discover import held_models, online_devices
from cellmind_ctl.session import Group, Session, pass_session


@dataclass(slots=True, kw_only=True)
class _HeldModel:
    """One checkpoint, and the names of the devices that hold it."""

    model: ModelView
    devices: list[str]


@click.group("models", cls=Group, invoke_without_command=True)
@click.pass_context
@pass_session
def command_(session: Session, context: click.Context) -> None:
    """List the checkpoints that the cell holds, and the devices that hold them."""
    if context.invoked_subcommand:
        return
    found = _find(session)
    if session.is_json:
        session.emit("models", [_json(held) for held in found])
        return
    from cellmind_ctl.render import print_table

    headers = ("model", "step", "held-out", "choices", "size", "devices", "made")
    rows = [
        [
            held.model.model,
            f"{held.model.step}{' (best)' if held.model.is_best else ''}",
            figures.number(held.model.val_loss, 3),
            figures.number(figures.choices(held.model.val_loss)),
            figures.size(_size_bytes(held.model)),
            ", ".join(held.devices),
            figures.ago(time.time() - held.model.created),
        ]
        for held in found
    ]
    print_table(session.color, headers, rows, right=("step", "held-out", "choices", "size"), less=("size", "held-out"))


@command_.command("show")
@click.argument("model")
@pass_session
def show_(session: Session, model: str) -> None:
    """Show all details of the newest checkpoint of MODEL."""
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
            session.client.request(m.RemoveModel(model=name), device=peer.id)
            removed.append(peer.name)
        except (UnknownNameError, UnreachableError):
            continue
    if session.is_json:
        session.emit("models.rm", {"model": name, "devices": removed})
    else:
        print(t("{name} is removed from: {devices}", name=name, devices=", ".join(removed) or t("no device")))


def _find(session: Session) -> list[_HeldModel]:
    """Every checkpoint that a device online holds, newest first."""
    found: dict[tuple[str, int, bool], _HeldModel] = {}
    for peer, models in held_models(session.client):
        for model in models:
            held = found.setdefault((model.model, model.step, model.is_best), _HeldModel(model=model, devices=[]))
            held.devices.append(peer.name)
    return sorted(found.values(), key=lambda held: (held.model.created, held.model.step), reverse=True)


def _named(session: Session, name: str) -> list[_HeldModel]:
    """The checkpoints of the one model whose name begins with `name`, newest first. Raises UnknownNameError."""
    found = [held for held in _find(session) if held.model.model.startswith(name)]
    if len({held.model.model for held in found}) != 1:
        raise UnknownNameError(f"{name!r} is not the name of exactly one model", "cellmindctl models")
    return found


def _size_bytes(model: ModelView) -> int:
    return sum(ref.size for ref in model.files.values())


def _json(held: _HeldModel) -> dict[str, object]:
    model = held.model
    return {
        "model": model.model,
        "step": model.step,
        "is_best": model.is_best,
        "tokens": model.tokens,
        "val_loss": model.val_loss,
        "choices": figures.choices(model.val_loss),
        "state_hash": model.state_hash,
        "size_bytes": _size_bytes(model),
        "files": {name: ref.id for name, ref in model.files.items()},
        "devices": held.devices,
        "created": figures.rfc3339(model.created),
    }
