"""`cellmindctl ask`: ask the model."""

from __future__ import annotations

import functools
import secrets
import sys
from pathlib import Path

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.ids import RunId, parse_run_id
from cellmind_agent.protocol.messages import ModelView
from cellmind_agent.words import t
from cellmind_ctl import figures
from cellmind_ctl.discover import device_named, held_models, list_runs, model_to_ask, models_named
from cellmind_ctl.session import Session, command, is_interactive
from model.line.sampling import Sampling
from model.line.sentence import Sentence

_MAX_TOKENS = "The longest answer, in tokens."
_TEMPERATURE = "How freely tokens are drawn (0: always the most likely token)."
_TOP_K = "Draw from the K most likely tokens only (0: from all)."
_TOP_P = "Draw from the most likely tokens that together have this probability."
_MANY_CHOICES = 150  # held-out perplexity: answers of such a model are not yet sentences
_number = functools.partial(click.option, show_default=True)


@command("ask")
@click.argument("prompt", required=False)
@click.option(
    "--prompt-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the prompt from a file.",
)
@click.option("-m", "--model", metavar="MODEL", help="The name of a run (default: the newest finished model).")
@click.option("--device", metavar="NAME", help="The device that answers (default: the fastest that holds the model).")
@_number("-n", "--max-tokens", metavar="N", type=click.IntRange(1, 100_000), default=200, help=_MAX_TOKENS)
@_number("-t", "--temperature", metavar="T", type=click.FloatRange(0, 10), default=0.8, help=_TEMPERATURE)
@_number("--top-k", metavar="K", type=click.IntRange(min=0), default=0, help=_TOP_K, show_default=False)
@_number("--top-p", metavar="P", type=click.FloatRange(0, 1, min_open=True), default=0.95, help=_TOP_P)
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**31 - 1), help="The same seed gives the same answer.")
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
    """Ask the model, and print its answer to PROMPT.

    Without PROMPT, or with `-`, the prompt is read from standard input.
    """
    # 1. Read the prompt, and find the model and the device by their names.
    text = _read_prompt(prompt, prompt_file)
    chosen = _choose(session, parse_run_id(model) if model else None)
    request = m.Ask(
        prompt=text,
        model=chosen.model if chosen else None,
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


def _choose(session: Session, wanted: RunId | None) -> ModelView | None:
    """The best checkpoint of the wanted model, or else of the newest finished one; None if there is none. Warns about
    a model that has learnt little. Raises UnknownNameError."""
    models = [model for _, held in held_models(session.client) for model in held]
    if wanted:
        models = models_named(models, wanted)
    chosen = model_to_ask(models, list_runs(session.client))
    choices = figures.choices(chosen.val_loss) if chosen else None
    if chosen and choices and choices > _MANY_CHOICES:
        sentence = "note: {model} has learnt little: it guesses the next piece of a word as if among {choices}"
        session.notice(t(sentence, model=chosen.model, choices=f"{choices:,}"))
    return chosen


def _read_prompt(prompt: str | None, path: Path | None) -> str:
    """The prompt of the command line, of a file or of standard input. Raises UsageError."""
    if prompt is not None and path is not None:
        raise UsageError("give one prompt, not two", "cellmindctl ask --prompt-file FILE")
    hint = 'cellmindctl ask "안녕"'
    try:
        if path is not None:
            text = path.read_text(encoding="utf-8-sig")
        elif prompt in (None, "-"):
            text = _read_standard_input(is_asked_for=prompt == "-")
        else:
            text = prompt or ""
            text.encode()  # an argument that is not UTF-8 is full of surrogates
    except FileNotFoundError as error:
        raise UsageError("{path} does not exist", hint, path=path) from error
    except UnicodeError as error:
        raise UsageError("{source} is not UTF-8 text", hint, source=path or Sentence("the prompt")) from error
    if not text.strip():
        raise UsageError("the prompt is empty", hint)
    return text


def _read_standard_input(is_asked_for: bool) -> str:
    """All of it. At a terminal the person must ask for it with `-`, and under cron it may be closed."""
    if is_interactive() and not is_asked_for:
        raise UsageError("no prompt was given", 'cellmindctl ask "안녕"')
    return sys.stdin.buffer.read().decode("utf-8-sig") if sys.stdin else ""
