"""`cellmindctl models`: list, show and remove the checkpoints that the cell holds."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnknownNameError, UnreachableError, UsageError
from cellmind_agent.protocol.messages import ModelView
from cellmind_agent.words import t
from cellmind_ctl import figures, story
from cellmind_ctl.discover import held_models, models_named, online_devices, run_story
from cellmind_ctl.help import paired, width_of
from cellmind_ctl.session import Group, Session, is_confirmed, is_interactive, pass_session

HEADERS = ("model", "step", "held-out", "choices", "size", "devices", "made")
RIGHT = ("step", "held-out", "choices", "size")
LESS = ("size", "held-out")  # leave a narrow table in this order


@dataclass(slots=True, kw_only=True)
class HeldModel:
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

    now = time.time()
    print_table(session.color, HEADERS, [row(held, now) for held in found], RIGHT, LESS)


def row(held: HeldModel, now: float) -> list[str]:
    """The cells of a checkpoint, in the order of HEADERS; `now` in seconds since 1970."""
    return [
        held.model.model,
        f"{held.model.step:,}{t(' (best)') if held.model.is_best else ''}",
        figures.number(held.model.val_loss, 3),
        figures.number(figures.choices(held.model.val_loss)),
        figures.size(_size_bytes([held])),
        ", ".join(held.devices),
        figures.ago(now - held.model.created),
    ]


@command_.command("show")
@click.argument("model")
@pass_session
def show_(session: Session, model: str) -> None:
    """Show all details of the newest checkpoint of MODEL."""
    held = _named(session, model)[0]
    learnt = run_story(session.client, held.model.model)
    if session.is_json:
        found = story.to_json(learnt)
        session.emit("models.show", {**_json(held), **{name: found[name] for name in ("seconds", "contributions")}})
        return
    for line in paired(details(held, learnt), width_of(sys.stdout)):
        print(line)


def details(held: HeldModel, learnt: m.RunStory) -> list[tuple[str, str]]:
    """What `models show` has of a checkpoint: labels and texts."""
    view = held.model
    return [
        (t("model"), view.model),
        (t("step"), f"{view.step:,}{t(' (best)') if view.is_best else ''}"),
        (t("tokens"), f"{view.tokens:,}"),
        (t("held-out loss"), figures.number(view.val_loss, 3)),
        (t("choices"), figures.number(figures.choices(view.val_loss))),
        (t("training time"), figures.duration(learnt.seconds) if learnt.contributions else figures.UNKNOWN),
        (t("trained by"), story.contributors(learnt) or figures.UNKNOWN),
        (t("size"), figures.size(_size_bytes([held]))),
        (t("devices"), ", ".join(held.devices)),
        (t("made"), figures.rfc3339(view.created) or figures.UNKNOWN),
        (t("state hash"), view.state_hash),
        *((name, ref.id) for name, ref in view.files.items()),
    ]


@command_.command("rm")
@click.argument("model")
@click.option("--yes", is_flag=True, help="Remove it without a question.")
@pass_session
def rm_(session: Session, model: str, yes: bool) -> None:
    """Remove MODEL from every device that is online.

    A person is asked first. A script gives --yes, or --json, which asks nothing.
    """
    # 1. Find every checkpoint of the model, and ask.
    found = _named(session, model)
    name = found[0].model.model
    if not yes and not session.is_json:
        if not is_interactive():
            raise UsageError("without a terminal nobody can agree", "cellmindctl models rm {name} --yes", name=name)
        if not is_confirmed(_question(found)):
            session.notice(t("nothing was removed"))
            return
    # 2. Remove it from each device that has it.
    removed = []
    for peer in online_devices(session.client):
        try:
            session.client.request(m.RemoveModel(model=name), device=peer.id)
            removed.append(peer.name)
        except (UnknownNameError, UnreachableError):
            continue
    # 3. Show the devices.
    if session.is_json:
        session.emit("models.rm", {"model": name, "devices": removed})
    else:
        print(t("{name} is removed from: {devices}", name=name, devices=", ".join(removed) or t("no device")))


def _question(found: list[HeldModel]) -> str:
    devices = dict.fromkeys(device for held in found for device in held.devices)
    sentence = "remove {name} ({size}, {count} checkpoints) from {devices}?"
    size, names = figures.size(_size_bytes(found)), ", ".join(devices)
    return t(sentence, name=found[0].model.model, size=size, count=len(found), devices=names)


def _find(session: Session) -> list[HeldModel]:
    """Every checkpoint that a device online holds, newest first."""
    found: dict[tuple[str, int, bool], HeldModel] = {}
    for peer, models in held_models(session.client):
        for model in models:
            held = found.setdefault((model.model, model.step, model.is_best), HeldModel(model=model, devices=[]))
            held.devices.append(peer.name)
    return sorted(found.values(), key=lambda held: (held.model.created, held.model.step), reverse=True)


def _named(session: Session, name: str) -> list[HeldModel]:
    """The checkpoints of the one model whose name is or begins with `name`, newest first. Raises UnknownNameError."""
    found = _find(session)
    fitting = models_named([held.model for held in found], name)
    return [held for held in found if held.model in fitting]


def _size_bytes(found: list[HeldModel]) -> int:
    """The size of all files of these checkpoints; a file that several of them have counts once."""
    return sum({ref.id: ref.size for held in found for ref in held.model.files.values()}.values())


def _json(held: HeldModel) -> dict[str, object]:
    model = held.model
    return {
        "model": model.model,
        "step": model.step,
        "is_best": model.is_best,
        "tokens": model.tokens,
        "val_loss": model.val_loss,
        "choices": figures.choices(model.val_loss),
        "state_hash": model.state_hash,
        "size_bytes": _size_bytes([held]),
        "files": {name: ref.id for name, ref in model.files.items()},
        "devices": held.devices,
        "created": figures.rfc3339(model.created),
    }
