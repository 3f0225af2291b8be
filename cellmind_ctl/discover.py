"""Finds the agent of a home, and the devices, runs and models that the cell has under a name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cellmind_agent.planning.roster import find_device
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    CellmindError,
    NoAgentsFoundError,
    ProtocolError,
    TimedOutError,
    UnknownNameError,
    UnreachableError,
)
from cellmind_agent.protocol.home import ControlFile, control_path
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.messages import ModelView, PeerView, RunView
from cellmind_agent.protocol.plain import from_plain
from cellmind_ctl.client import Client

_Freshness = tuple[bool, int, bool]


def find_agent(home: Path, at: str | None, timeout: float) -> Client:
    """The client of the agent of `home`; with `at`, requests go through it to the member at that address.

    Raises NoAgentsFoundError, and UnreachableError when nothing answers at the address.
    """
    try:
        control = from_plain(ControlFile, json.loads(control_path(home).read_text()))
    except FileNotFoundError as error:
        raise NoAgentsFoundError(f"no agent runs on {home}", f"start one: cellmind-agent --home {home}") from error
    except PermissionError as error:
        raise NoAgentsFoundError(
            f"{home} belongs to another user", "choose your own: cellmindctl --home DIR"
        ) from error
    except (ValueError, ProtocolError) as error:
        raise NoAgentsFoundError(f"{control_path(home)} is damaged", "start the agent again") from error
    client = Client(control, timeout)
    if at and at != control.address:
        client.device = client.request(m.ConnectAddress(address=at)).device
    return client


def list_peers(client: Client) -> tuple[PeerView, ...]:
    """The devices that the agent knows, paired or not."""
    return client.request(m.ListPeers()).peers


def device_named(client: Client, name: str) -> PeerView:
    """The device that has this name, or an id that begins so. Raises UnknownNameError."""
    return find_device(list_peers(client), name)


def online_devices(client: Client) -> list[PeerView]:
    """The members that are online, this device first."""
    return [peer for peer in list_peers(client) if peer.paired and peer.state == "online"]


def held_models(client: Client) -> list[tuple[PeerView, tuple[ModelView, ...]]]:
    """Every member that answers, and the checkpoints that it holds. A member that has just gone away is left out."""
    found = []
    for peer in online_devices(client):
        try:
            found.append((peer, client.request(m.ListModels(), device=peer.id).models))
        except (UnreachableError, TimedOutError):
            continue
    return found


def list_runs(client: Client) -> list[RunView]:
    """Every run that a device online knows, newest first. Where devices differ about a run, the latest state counts."""
    found: dict[RunId, tuple[_Freshness, RunView]] = {}
    for peer in online_devices(client):
        try:
            views = client.request(m.ListRuns(), device=peer.id).runs
        except CellmindError:
            continue
        for view in views:
            freshness = _freshness(view, peer.id)
            if view.run not in found or freshness > found[view.run][0]:
                found[view.run] = freshness, view
    return sorted((view for _, view in found.values()), key=lambda view: view.created, reverse=True)


def run_named(runs: Sequence[RunView], name: str | None) -> RunView:
    """The run whose name is or begins with `name`; without a name the run that is training now, or else the newest.

    Raises UnknownNameError.
    """
    if name is None:
        running = [run for run in runs if run.state in ("preparing", "training")]
        if not runs:
            raise UnknownNameError("there is no run yet", "cellmindctl train")
        return (running or list(runs))[0]
    fitting = [run for run in runs if run.run == name] or [run for run in runs if run.run.startswith(name)]
    if len(fitting) != 1:
        why = f"no run is called {name!r}" if not fitting else f"the names of {len(fitting)} runs begin with {name!r}"
        raise UnknownNameError(why, "cellmindctl runs")
    return fitting[0]


def _freshness(view: RunView, source: DeviceId) -> _Freshness:
    """The larger of two is the later view of one run.

    A running view is never out of date: an agent that takes no part any more reports the run as ended. Then more steps
    are later, and the leader knows first.
    """
    return view.state in ("preparing", "training"), view.step, source == view.leader
