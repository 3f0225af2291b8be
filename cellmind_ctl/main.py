"""`cellmindctl`: find the command, run it, exit with its code. Imports nothing heavy: help must come at once."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from cellmind_ctl.errors import run_and_exit
from cellmind_ctl.session import Session, new_session

# In the order in which a newcomer needs them; the words are what `--help` shows.
COMMANDS = {
    "peers": "Devices of the cell, and unpaired ones nearby.",
    "invite": "Let another device join: prints a one-time code.",
    "join": "Join the cell that invited this device.",
    "forget": "Remove a device from the cell.",
    "connect": "Remember an address where multicast does not reach.",
    "data": "Prepare text for training.",
    "plan": "Show what `train` would do, and start nothing.",
    "train": "Train together.",
    "runs": "Runs known to the cell.",
    "watch": "Follow a run.",
    "stop": "Stop a run; its last checkpoint stays.",
    "resume": "Go on with a run from its last checkpoint.",
    "ask": "Ask the model.",
    "sync": "Put the newest checkpoint onto every device now.",
    "models": "Checkpoints known to the cell.",
    "logs": "A device's log.",
    "doctor": "Check this device and its cell.",
    "config": "What a configuration file means.",
    "paths": "Where things lie on this device.",
    "version": "Versions of what is installed.",
    "completion": "Tab completion for a shell.",
}


class _Lazy(click.Group):
    """Imports a command's file when it is called, and not to print its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"cellmind_ctl.commands.{cmd_name}")
        found: click.Command = module.command_
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"no such command: {name}" + (f" (did you mean {close[0]}?)" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CELLMIND"})
@click.option("--home", type=click.Path(path_type=Path), help="The agent's home on this device.")
@click.option("--json", "is_json", is_flag=True, help="Answer in JSON.")
@click.option("--agent", metavar="HOST:PORT", help="Ask the member that listens there.")
@click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="How long to wait for an answer.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), help="Colours on the terminal.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_obj
def cli(
    session: Session,
    home: Path | None,
    is_json: bool,
    agent: str | None,
    timeout: float | None,
    color: str | None,
    debug: bool,
) -> None:
    """Your own devices train one small GPT together on your own text, and answer with it.

    \b
    cellmindctl peers             who is there
    cellmindctl train --data FILE train together
    cellmindctl ask "안녕"        ask the model
    """
    session.home = home or session.home
    session.is_json = session.is_json or is_json
    session.agent = agent
    session.timeout = timeout or session.timeout
    session.color = color or session.color
    session.is_debug = debug


def main(arguments: list[str] | None = None) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    session = new_session()
    session.is_json, session.is_debug = "--json" in words, "--debug" in words
    try:
        code = run_and_exit(
            lambda: cli.main(words, prog_name="cellmindctl", standalone_mode=False, obj=session),
            session.is_json,
            session.is_debug,
        )
    finally:
        session.close()
    sys.exit(code)


if __name__ == "__main__":
    main()
