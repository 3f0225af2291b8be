"""`cellmindctl data`: text for training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cellmind_ctl.session import Group, Session, pass_session
from tokenizer.prepare import prepare


@click.group("data", cls=Group)
def command_() -> None:
    """Prepare text for training. Nothing leaves this machine."""


@command_.command("prepare")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--name", "names", multiple=True, help="A further name to hide (repeatable).")
@pass_session
def prepare_(session: Session, inputs: tuple[Path, ...], out: Path, names: tuple[str, ...]) -> None:
    """Clean chat CSV, text and JSONL files into OUT: train.jsonl, textonly.txt, stats.json."""
    stats = prepare(inputs, out, names)
    if session.is_json:
        session.emit("data.prepare", {**asdict(stats), "out": str(out)})
        return
    print(f"{stats.documents:,} documents of {stats.messages:,} messages, {stats.characters:,} characters -> {out}")
    for placeholder, count in stats.replaced.items():
        print(f"{placeholder:<8} {count:,}")
