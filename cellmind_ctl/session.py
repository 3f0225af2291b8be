"""What every command shares: the global options, the client of the agent, and the forms of output (text and JSON)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cellmind_agent.protocol.home import default_home
from cellmind_agent.words import t
from cellmind_ctl.help import Context, first_paragraph

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from cellmind_ctl.client import Client

DEFAULT_TIMEOUT_SECONDS = 15.0
_YES = ("y", "yes", "ㅛ", "ㅛㄷㄴ", "네", "예", "응")  # ㅛ: the key Y of a keyboard that is set to Hangul


@dataclass(slots=True, kw_only=True)
class Session:
    """One call of `cellmindctl`."""

    home: Path
    is_json: bool = False
    agent: str | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    color: str = "auto"
    is_debug: bool = False
    _client: Client | None = field(default=None)

    @property
    def client(self) -> Client:
        """The client of this home's agent, connected at first use. Raises NoAgentsFoundError."""
        if self._client is None:
            # Imported here, because zmq would slow down every `--help`.
            from cellmind_ctl.discover import find_agent

            self._client = find_agent(self.home, self.agent, self.timeout_seconds)
        return self._client

    def close(self) -> None:
        """Close the connection to the agent, if there is one."""
        if self._client is not None:
            self._client.close()

    def emit(self, command: str, data: object) -> None:
        """Print the JSON answer of a command that has one answer. `data` must be serialisable as JSON."""
        print(json.dumps({"schema": f"cellmind.{command}/1", "data": data}, ensure_ascii=False), flush=True)

    def emit_event(self, event: str, fields: Mapping[str, object]) -> None:
        """Print one JSON line of a stream. `fields` must be serialisable as JSON."""
        print(json.dumps({"event": event, **fields}, ensure_ascii=False), flush=True)

    def notice(self, text: str) -> None:
        """Show progress, a warning or a hint to a person, on stderr. With `--json`, print nothing."""
        if not self.is_json:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Show a warning to a person, on stderr, unless the answer is JSON."""
        self.notice(t("warning: {what}", what=text))


def is_interactive() -> bool:
    """Whether a person can answer a question: standard input is a terminal. It may also be closed, as under cron."""
    return sys.stdin is not None and sys.stdin.isatty()


def is_confirmed(question: str) -> bool:
    """Ask on stderr, and return whether the person agrees. No answer is a no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in _YES


def new_session() -> Session:
    """A session with the default home of this system, before any option is read."""
    return Session(home=default_home(os.environ, sys.platform))


class _Name(click.types.StringParamType):
    """A string that a shell completes with the names of devices, runs or models."""

    def __init__(self, kind: Literal["device", "run", "model"]) -> None:
        self._kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from cellmind_ctl.completing import complete, home_of  # zmq would slow down every `--help`

        session = ctx.find_object(Session) or new_session()
        return complete(home_of(ctx, session.home), self._kind, incomplete)


# The parameters of commands that take such names.
_NAMED: dict[str | None, Literal["device", "run", "model"]] = {
    "device": "device",
    "devices": "device",
    "run": "run",
    "model": "model",
}


class Command(click.Command):
    """A click command that also takes `--json` and `-h`, as every command of `cellmindctl` does."""

    context_class = Context

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {})["help_option_names"] = ["-h", "--help"]
        kwargs["no_args_is_help"] = False  # click would report the whole help as an error
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            if parameter.name in _NAMED and isinstance(parameter.type, click.types.StringParamType):
                parameter.type = _Name(_NAMED[parameter.name])
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

    def get_short_help_str(self, limit: int = 45) -> str:
        """The first paragraph of the help, however long: `HelpFormatter` wraps it."""
        return first_paragraph(self.help)


class Group(Command, click.Group):
    """A command that has subcommands. Without one it fails as other mistakes do, with an error and a hint."""

    command_class = Command


def command(name: str | None = None) -> Callable[[Callable[..., object]], click.Command]:
    """Decorate the function of a command: its first argument becomes the Session."""

    def declare(function: Callable[..., object]) -> click.Command:
        return click.command(name, cls=Command)(click.make_pass_decorator(Session)(function))

    return declare


pass_session = click.make_pass_decorator(Session)


def _set_json(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    session = context.find_object(Session)
    if session is not None and value:
        session.is_json = True
