"""Completes the names of devices, runs and models in a shell. Asks this home's agent alone, and stays silent if that
does not answer at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.shell_completion import CompletionItem

from cellmind_agent.protocol import messages as m
from cellmind_ctl.discover import find_agent

if TYPE_CHECKING:
    from cellmind_ctl.client import Client

_SECONDS = 0.4  # to find the agent, and again for its answer: a person waits after pressing Tab

Kind = Literal["device", "run", "model"]


def names(home: Path, kind: Kind) -> list[str]:
    """The names that the agent of `home` knows, or none. A name with spaces is left out: bash would split it."""
    try:
        client = find_agent(home, None, _SECONDS)
        try:
            return sorted({name for name in _ask(client, kind) if not any(map(str.isspace, name))})
        finally:
            client.close()
    except Exception:  # a message in the middle of a command line that is being typed helps nobody
        return []


def complete(home: Path, kind: Kind, incomplete: str) -> list[CompletionItem]:
    """What may stand at the end of this word. Of names between commas the last one is completed."""
    before, comma, last = incomplete.rpartition(",")
    return [CompletionItem(before + comma + name) for name in names(home, kind) if name.startswith(last)]


def home_of(context: click.Context, default: Path) -> Path:
    """The home of the command line that is being typed."""
    home = context.find_root().params.get("home")
    return home if isinstance(home, Path) else default


def _ask(client: Client, kind: Kind) -> Iterable[str]:
    if kind == "device":
        return [peer.name for peer in client.request(m.ListPeers()).peers if peer.paired]
    if kind == "run":
        return [view.run for view in client.request(m.ListRuns()).runs]
    return [model.model for model in client.request(m.ListModels()).models]
