"""What every command knows: the global options, where the agent is, how to speak on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cellmind_agent.protocol.home import default_home

if TYPE_CHECKING:
    from cellmind_ctl.client import Client

DEFAULT_TIMEOUT_SECONDS = 15.0


@dataclass(slots=True, kw_only=True)
class Session:
    """One call of `cellmindctl`."""

    home: Path
    is_json: bool = False
    agent: str | None = None
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    color: str = "auto"
    is_debug: bool = False
    _client: Client | None = field(default=None)

    @property
    def client(self) -> Client:
        """The line to this home's agent, opened at first use. Raises NoAgentsFoundError."""
        if self._client is None:
            from cellmind_ctl.discover import find_agent

            self._client = find_agent(self.home, self.agent, self.timeout)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def emit(self, command: str, data: Any) -> None:
        """The JSON answer of a command that has one."""
        print(json.dumps({"schema": f"cellmind.{command}/1", "data": data}, ensure_ascii=False), flush=True)

    def emit_event(self, event: str, fields: dict[str, Any]) -> None:
        """One JSON line of a stream."""
        print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)

    def tell(self, text: str) -> None:
        """Progress, warnings, hints: to people, on stderr."""
        if not self.is_json:
            print(text, file=sys.stderr, flush=True)


def new_session() -> Session:
    return Session(home=default_home(os.environ, sys.platform))


class Command(click.Command):
    """A command that takes `--json` and `-h`, as all do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {})["help_option_names"] = ["-h", "--help"]
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--json"],
                is_flag=True,
                expose_value=False,
                callback=_set_json,
                is_eager=True,
                help="Answer in JSON.",
            )
        )


class Group(Command, click.Group):
    """A command of commands."""

    command_class = Command


def command(name: str | None = None) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command whose first argument is the Session."""

    def declare(function: Callable[..., Any]) -> click.Command:
        return click.command(name, cls=Command)(click.make_pass_decorator(Session)(function))

    return declare


pass_session = click.make_pass_decorator(Session)


def _set_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    session = context.find_object(Session)
    if session is not None and value:
        session.is_json = True
