"""`cellmindctl ask`: ask the model."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.ids import parse_run_id
from cellmind_agent.words import t
from cellmind_ctl.discover import device_named
from cellmind_ctl.session import Session, command
from model.line.sampling import Sampling


@command("ask")
@click.argument("prompt", required=False)
@click.option("--prompt-file", type=click.Path(dir_okay=False, path_type=Path), help="Read the prompt from a file.")
@click.option("-m", "--model", metavar="MODEL", help="The name of a run (default: the newest model).")
@click.option("--device", metavar="NAME", help="The device that answers (default: the fastest that holds the model).")
@click.option(
    "-n", "--max-tokens", type=click.IntRange(1, 100_000), default=200, show_default=True, help="The longest answer."
)
@click.option(
    "-t",
    "--temperature",
    type=click.FloatRange(0, 10),
    default=0.8,
    show_default=True,
    help="How freely tokens are drawn (0: always the most likely token).",
)
@click.option(
    "--top-k", type=click.IntRange(min=0), default=0, help="Draw from the K most likely tokens only (0: from all)."
)
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.95,
    show_default=True,
    help="Draw from the most likely tokens that together have this probability.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="The same seed gives the same answer.")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is complete.")
@click.option("--verbose", is_flag=True, help="Show which device answered, and how fast.")
def command_(
    session: Session,
    prompt: str | None,
    prompt_file: Path | None,
    model: str | None,
    device: str | None,
    max_tokens: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int | None,
    no_stream: bool,
    verbose: bool,
) -> None:
    """Ask the model, and print its answer to PROMPT (`-` reads the prompt from standard input)."""
    # 1. Read the prompt, and find the model and the device by their names.
    request = m.Ask(
        prompt=_read_prompt(prompt, prompt_file),
        model=parse_run_id(model) if model else None,
        device=device_named(session.client, device).id if device else None,
        max_tokens=max_tokens,
        sampling=Sampling(
            temperature=temperature, top_k=top_k, top_p=top_p, seed=secrets.randbits(31) if seed is None else seed
        ),
    )
    # 2. Show the answer as it arrives. If its device dies, the agent continues with another one.
    pieces: list[str] = []
    for event in session.client.stream(request):
        if isinstance(event, m.AnswerPiece):
            pieces.append(event.text)
        _show(session, event, no_stream, verbose)
    # 3. End the line, or print the complete answer.
    if not session.is_json:
        print("".join(pieces) if no_stream else "", flush=True)


def _show(session: Session, event: m.AnswerEvent, no_stream: bool, verbose: bool) -> None:
    match event:
        case m.AnswerStarted():
            if session.is_json:
                fields = {"device": event.device, "name": event.name, "model": event.model, "step": event.step}
                session.emit_event("started", fields)
            elif verbose:
                sentence = "answered by {name} ({model}, step {step})"
                session.notice(t(sentence, name=event.name, model=event.model, step=event.step))
        case m.AnswerPiece():
            if session.is_json:
                session.emit_event("piece", {"text": event.text})
            elif not no_stream:
                print(event.text, end="", flush=True)
        case m.AnswerEnded():
            if session.is_json:
                fields = {"tokens": event.num_tokens, "seconds": event.seconds, "reason": event.reason}
                session.emit_event("ended", fields)
            elif verbose:
                session.notice(
                    "\n" + t("{tokens} tokens in {seconds} s", tokens=event.num_tokens, seconds=f"{event.seconds:.1f}")
                )


def _read_prompt(prompt: str | None, path: Path | None) -> str:
    """The prompt of the command line, of a file or of standard input. Raises UsageError."""
    if (prompt is None) == (path is None):
        raise UsageError("give one prompt", 'cellmindctl ask "안녕", or --prompt-file FILE, or - for standard input')
    try:
        if path is not None:
            text = path.read_text(encoding="utf-8-sig")
        else:
            text = sys.stdin.read() if prompt == "-" else prompt or ""
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist", "cellmindctl ask --prompt-file prompt.txt") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not UTF-8 text", "cellmindctl ask --prompt-file prompt.txt") from error
    if not text.strip():
        raise UsageError("the prompt is empty", 'cellmindctl ask "안녕"')
    return text
