"""`cellmindctl`: finds the command, runs it, exits with its code. Imports nothing heavy, so that help is instant."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.words.utf8 import use_utf8
from cellmind_ctl.errors import run_and_exit
from cellmind_ctl.help import Context, word_click
from cellmind_ctl.session import Session, new_session

# In the order in which a newcomer needs them, with the sentences that `--help` shows.
COMMANDS = {
    "peers": "List the devices of the cell, and unpaired devices nearby.",
    "invite": "Let another device join: print a one-time code.",
    "join": "Join the cell that invited this device.",
    "forget": "Remove a device from the cell.",
    "recovery": "Show the recovery code of the cell, to be written down.",
    "connect": "Remember an address where multicast does not reach.",
    "data": "Prepare text for training.",
    "plan": "Show what `train` would do, and start nothing.",
    "train": "Train together.",
    "runs": "List the runs that the cell knows.",
    "watch": "Follow a run.",
    "stop": "Stop a run and keep its last checkpoint.",
    "resume": "Continue a run from its last checkpoint.",
    "ask": "Ask the model.",
    "sync": "Copy the newest checkpoint to every device now.",
    "models": "List the checkpoints that the cell holds.",
    "logs": "Print a device's log.",
    "doctor": "Check this device and its cell.",
    "config": "Explain a configuration file.",
    "paths": "Show where CellMind keeps its files on this device.",
    "version": "Show the versions of what is installed.",
    "update": "Update CellMind on this device.",
    "completion": "Print tab completion for a shell.",
}
EXAMPLES = {
    "cellmindctl peers": "list your devices",
    "cellmindctl train --data FILE": "train one model on all of them",
    'cellmindctl ask "안녕"': "ask the model",
}


class _LazyCommands(click.Group):
    """Imports a command's file only when that command runs, not when its name is listed."""

    context_class = Context

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"cellmind_ctl.commands.{cmd_name}")
        found: click.Command = module.command_
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            sentence = "no such command: {name} (did you mean {close}?)" if close else "no such command: {name}"
            raise UsageError(sentence, "cellmindctl --help", name=name, close="".join(close))
        return super().resolve_command(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_dl(list(EXAMPLES.items()))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyCommands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CELLMIND"},
)
@click.option("--home", type=click.Path(path_type=Path), help="The folder of this device's agent.")
@click.option("--json", "is_json", is_flag=True, help="Answer in JSON.")
@click.option("--agent", metavar="HOST:PORT", help="Ask the member that listens at this address.")
@click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="How long to wait for an answer.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), help="Whether the terminal shows colours.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_obj
@click.pass_context
def cli(
    context: click.Context,
    session: Session,
    home: Path | None,
    is_json: bool,
    agent: str | None,
    timeout: float | None,
    color: str | None,
    debug: bool,
) -> None:
    """Your own devices train one small GPT together on your own text, and answer with it.

    Without a command, the state of this device and its cell is shown.
    """
    session.home = home or session.home
    session.is_json = session.is_json or is_json
    session.agent = agent
    session.timeout_seconds = timeout or session.timeout_seconds
    session.color = color or session.color
    session.is_debug = debug
    if context.invoked_subcommand is None:
        from cellmind_ctl.overview import show_overview

        show_overview(session)


def main(arguments: list[str] | None = None) -> None:
    """Run one command line (default: this process's) and exit the process with its code."""
    if arguments is None:
        use_utf8()
    words = sys.argv[1:] if arguments is None else arguments
    session = new_session()
    # Read before click parses the line, so that a mistake in the line itself is reported in the right form.
    session.is_json, session.is_debug = "--json" in words, "--debug" in words
    if not session.is_json:
        word_click()
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
