"""`cellmindctl completion`: print the script of tab completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cellmind_agent.protocol.errors import UsageError
from cellmind_ctl.session import Session, command


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command_(context: click.Context, session: Session, shell: str) -> None:
    """Print the completion script of SHELL: eval "$(cellmindctl completion bash)"."""
    completion = get_completion_class(shell)
    if completion is None:
        raise UsageError("no completion for {shell}", "cellmindctl completion --help", shell=shell)
    root = context.find_root()
    script = completion(root.command, {}, "cellmindctl", "_CELLMINDCTL_COMPLETE").source()
    if session.is_json:
        session.emit("completion", {"shell": shell, "script": script})
    else:
        print(script)
