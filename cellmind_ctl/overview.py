"""What `cellmindctl` shows without a command: this device, its cell, the newest run and model, and the next step."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from cellmind_agent.planning.resuming import is_under_way
from cellmind_agent.protocol.errors import NoAgentsFoundError
from cellmind_agent.protocol.messages import ModelView, PeerView, RunView
from cellmind_agent.words import t
from cellmind_ctl.discover import held_models, list_peers, list_runs, model_to_ask, start_command
from cellmind_ctl.figures import number
from cellmind_ctl.help import paired, width_of
from cellmind_ctl.session import Session
from model.line.sentence import Sentence

_ANSWER_SECONDS = 2.0  # a member that needs longer is left out: this is a quick view
_Lines = list[tuple[str, str]]  # a label and what stands behind it, both worded


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of this device and its cell. The members are this device and the others, without strangers."""

    members: tuple[PeerView, ...]
    run: RunView | None
    model: ModelView | None


def show_overview(session: Session) -> None:
    """Print the overview. A missing agent is a state like any other, and how to start one is the next step."""
    try:
        client = session.client
    except NoAgentsFoundError as error:
        _show_no_agent(session, error)
        return
    runs = list_runs(client, _ANSWER_SECONDS)
    models = [model for _, held in held_models(client, _ANSWER_SECONDS) for model in held]
    overview = Overview(
        members=tuple(peer for peer in list_peers(client) if peer.paired),
        run=runs[0] if runs else None,
        model=model_to_ask(models, runs),
    )
    if session.is_json:
        session.emit("overview", _json(overview))
    else:
        _print(_lines(overview))


def next_command(overview: Overview) -> str:
    """What a person probably wants to do now."""
    if overview.run and is_under_way(overview.run):
        return "cellmindctl watch"
    if overview.model:
        return 'cellmindctl ask "안녕"'
    return "cellmindctl invite" if len(overview.members) < 2 else "cellmindctl train --data FILE"


def _lines(overview: Overview) -> _Lines:
    me = next(peer.name for peer in overview.members if peer.is_self)
    return [
        (t("device"), t("{name} (the agent runs)", name=me)),
        *_cell_lines(overview.members),
        (t("run"), t(_run_line(overview.run))),
        (t("model"), t(_model_line(overview.model))),
        (t("next step"), next_command(overview)),
        (t("all commands"), "cellmindctl --help"),
    ]


def _cell_lines(members: tuple[PeerView, ...]) -> _Lines:
    online = ", ".join(peer.name for peer in members if peer.state == "online")
    away = ", ".join(peer.name for peer in members if peer.state != "online")
    if len(members) < 2:
        return [(t("cell"), t("this device alone"))]
    lines = [(t("cell"), t("online: {names}", names=online))]
    return [*lines, ("", t("not online: {names}", names=away))] if away else lines


def _run_line(run: RunView | None) -> Sentence:
    if run is None:
        return Sentence("none yet")
    state, step, total = Sentence(run.state), f"{run.step:,}", f"{run.total_steps:,}"
    return Sentence("{run}: {state}, step {step} of {total}", run=run.run, state=state, step=step, total=total)


def _model_line(model: ModelView | None) -> Sentence:
    if model is None:
        return Sentence("none yet")
    if model.val_loss is None:
        return Sentence("{model}, step {step}", model=model.model, step=f"{model.step:,}")
    sentence = "{model}, step {step}, held-out loss {loss}"
    return Sentence(sentence, model=model.model, step=f"{model.step:,}", loss=number(model.val_loss, 3))


def _show_no_agent(session: Session, error: NoAgentsFoundError) -> None:
    start = start_command(session.home)
    if session.is_json:
        agent = {"is_running": False, "why": error.message}
        nothing: dict[str, object] = {"device": None, "members": [], "run": None, "model": None}
        session.emit("overview", {"agent": agent, **nothing, "next": f"{start} service install"})
        return
    _print(
        [
            (t("agent"), t(error.message)),
            (
                t("next step"),
                t("{command} (starts it now, and whenever you log in)", command=f"{start} service install"),
            ),
            ("", t("{command} (runs it in this terminal)", command=start)),
            (t("all commands"), "cellmindctl --help"),
        ]
    )


def _print(lines: _Lines) -> None:
    for line in paired(lines, width_of(sys.stdout)):
        print(line)


def _json(overview: Overview) -> dict[str, object]:
    run, model = overview.run, overview.model
    me = next(peer for peer in overview.members if peer.is_self)
    return {
        "agent": {"is_running": True, "why": None},
        "device": {"id": me.id, "name": me.name},
        "members": [{"name": peer.name, "state": peer.state, "is_self": peer.is_self} for peer in overview.members],
        "run": run and {"run": run.run, "state": run.state, "step": run.step, "total_steps": run.total_steps},
        "model": model and {"model": model.model, "step": model.step, "val_loss": model.val_loss},
        "next": next_command(overview),
    }
