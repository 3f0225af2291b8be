"""Finds the agent of a home, and the devices, runs and models that the cell has under a name."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from cellmind_agent.planning.resuming import is_under_way
from cellmind_agent.planning.roster import find_device
from cellmind_agent.planning.story import merged
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    CellmindError,
    NoAgentsFoundError,
    NotAllowedError,
    ProtocolError,
    TimedOutError,
    UnknownNameError,
    UnreachableError,
    UsageError,
)
from cellmind_agent.protocol.home import ControlFile, control_path, default_home
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.messages import ModelView, PeerView, Request, RunStory, RunView
from cellmind_agent.protocol.plain import from_plain
from cellmind_ctl.client import Client

A = TypeVar("A")
_Freshness = tuple[bool, int, int, bool]


def find_agent(home: Path, at: str | None, timeout: float) -> Client:
    """The client of the agent of `home`; with `at`, requests go through it to the member at that address.

    Raises NoAgentsFoundError, NotAllowedError where the home is another user's, and UnreachableError when nothing
    answers at the address.
    """
    path = control_path(home)
    try:
        control = from_plain(ControlFile, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise NoAgentsFoundError(
            "no agent runs on {home}", "start one: {command}", home=home, command=start_command(home)
        ) from error
    except NotADirectoryError as error:
        raise UsageError("{home} is not a folder", "choose another one: cellmindctl --home DIR", home=home) from error
    except PermissionError as error:
        hint = "choose your own: cellmindctl --home DIR"
        raise NotAllowedError("{home} belongs to another user", hint, home=home) from error
    except (ValueError, ProtocolError) as error:
        raise NoAgentsFoundError("{path} is damaged", "start the agent again", path=path) from error
    client = Client(control, timeout)
    if at and at != control.address:
        client.device = client.request(m.ConnectAddress(address=at)).device
    return client


def start_command(home: Path) -> str:
    """What a person types to start the agent of `home`."""
    is_default = home == default_home(os.environ, sys.platform)
    return "cellmind-agent" if is_default else f"cellmind-agent --home {shlex.quote(str(home))}"


def list_peers(client: Client) -> tuple[PeerView, ...]:
    """The devices that the agent knows, paired or not."""
    return client.request(m.ListPeers()).peers


def device_named(client: Client, name: str) -> PeerView:
    """The device that has this name, or an id that begins so. Raises UnknownNameError."""
    return find_device(list_peers(client), name)


def online_devices(client: Client) -> list[PeerView]:
    """The members that are online, this device first."""
    return [peer for peer in list_peers(client) if peer.paired and peer.state == "online"]


def held_models(client: Client, seconds: float | None = None) -> list[tuple[PeerView, tuple[ModelView, ...]]]:
    """Every member that answers within `seconds` (default: the client's time-out), this device first, and the
    checkpoints that it holds. A member that has just gone away is left out."""
    found = []
    for peer, answer in _ask_members(client, m.ListModels(), seconds):
        if isinstance(answer, m.ModelList):
            found.append((peer, answer.models))
        elif not isinstance(answer, UnreachableError | TimedOutError):
            raise answer
    return found


def list_runs(client: Client, seconds: float | None = None) -> list[RunView]:
    """Every run that a device online knows, newest first. Where devices differ about a run, the latest state counts."""
    found: dict[RunId, tuple[_Freshness, RunView]] = {}
    for peer, answer in _ask_members(client, m.ListRuns(), seconds):
        for view in answer.runs if isinstance(answer, m.RunList) else ():
            freshness = _freshness(view, peer.id)
            if view.run not in found or freshness > found[view.run][0]:
                found[view.run] = freshness, view
    return sorted((view for _, view in found.values()), key=lambda view: view.created, reverse=True)


def run_story(client: Client, run: RunId, seconds: float | None = None) -> RunStory:
    """How the run went, as all members that are online know it together. A member that does not know the run, or has
    an older version, adds nothing."""
    answers = [answer for _, answer in _ask_members(client, m.GetRunStory(run=run), seconds)]
    return merged(run, [answer for answer in answers if isinstance(answer, m.RunStory)])


def _ask_members(
    client: Client, message: Request[A], seconds: float | None
) -> Iterator[tuple[PeerView, A | CellmindError]]:
    """The answer of every member that is online, all asked at once, or why there is none."""
    online = online_devices(client)
    answers = client.request_all({peer.id: message for peer in online}, client.timeout if seconds is None else seconds)
    return ((peer, answers[peer.id]) for peer in online)


def run_named(runs: Sequence[RunView], name: str | None) -> RunView:
    """The run whose name is or begins with `name`; without a name the run that is training now, or else the newest.

    Raises UnknownNameError.
    """
    if name is None:
        running = [run for run in runs if is_under_way(run)]
        if not runs:
            raise UnknownNameError("there is no run yet", "cellmindctl train --data FILE")
        return (running or list(runs))[0]
    fitting = [run for run in runs if run.run == name] or [run for run in runs if run.run.startswith(name)]
    if not fitting:
        raise UnknownNameError("no run is called {name}", "cellmindctl runs", name=name)
    if len(fitting) > 1:
        sentence = "the names of {count} runs begin with {name}"
        raise UnknownNameError(sentence, "cellmindctl runs", count=len(fitting), name=name)
    return fitting[0]


def models_named(models: Sequence[ModelView], name: str) -> list[ModelView]:
    """The checkpoints of the one model whose name is or begins with `name`. Raises UnknownNameError."""
    fitting = [model for model in models if model.model == name]
    fitting = fitting or [model for model in models if model.model.startswith(name)]
    if not fitting:
        raise UnknownNameError("no model is called {name}", "cellmindctl models", name=name)
    if len({model.model for model in fitting}) > 1:
        raise UnknownNameError("several models begin with {name}", "cellmindctl models", name=name)
    return fitting


def model_to_ask(models: Sequence[ModelView], runs: Sequence[RunView]) -> ModelView | None:
    """The best checkpoint of the newest model whose run came to its end, or was stopped by a person; of the newest
    model, if there is none. A model whose run nobody online knows counts as finished. None: there is no model."""
    unfinished = {run.run for run in runs if is_under_way(run) or run.state == "failed"}
    fitting = [model for model in models if model.model not in unfinished] or list(models)
    latest = max(fitting, key=_age, default=None)
    best = [model for model in fitting if latest and model.is_best and model.model == latest.model]
    return max(best, key=_age, default=latest)


def _age(model: ModelView) -> tuple[float, int]:
    return model.created, model.step


def _freshness(view: RunView, source: DeviceId) -> _Freshness:
    """The larger of two is the later view of one run.

    A running view is never out of date: an agent that takes no part any more reports the run as ended. Then the higher
    term is later, in one term more steps are, and the leader knows first.
    """
    return is_under_way(view), view.term, view.step, source == view.leader
