"""`cellmindctl data`: prepares text for training, and says what prepared text holds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.words import t
from cellmind_ctl.session import Group, Session, pass_session
from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.corpus.prepared.jsonl import read_ranges
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.corpus.prepared.stats import Batch, Stats, read_stats
from tokenizer.corpus.texts import size_of
from tokenizer.vocabulary.encoding import load_encoder
from tokenizer.vocabulary.leaks import Leaks, describe_leaks, find_leaks
from tokenizer.vocabulary.metrics import Metrics, describe_metrics, measure
from tokenizer.vocabulary_size import suggest_vocab_size

_ROLES = ("time", "user", "text")


@click.group("data", cls=Group)
def command_() -> None:
    """Prepare text for training. Nothing leaves this machine."""


@command_.command("prepare")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--append", is_flag=True, help="Add what is new to OUT, which was prepared before.")
@click.option("--name", "names", multiple=True, help="A further name to hide (repeatable).")
@click.option("--keep-names", is_flag=True, help="Hide numbers and addresses, but leave names as they are.")
@click.option("--columns", metavar="text=NAME,...", help="A table's columns: text, and perhaps user and time.")
@click.option("--gap", type=float, default=30, show_default=True, help="Minutes of silence that end a conversation.")
@click.option("--turns", is_flag=True, help="Begin each message with its speaker's letter, `A: `.")
@pass_session
def prepare_(
    session: Session,
    inputs: tuple[Path, ...],
    out: Path,
    append: bool,
    names: tuple[str, ...],
    keep_names: bool,
    columns: str | None,
    gap: float,
    turns: bool,
) -> None:
    """Clean text into OUT: train.jsonl, held-out.jsonl, textonly.txt, stats.json.

    INPUTS are exports of KakaoTalk, WhatsApp, Telegram, LINE, Discord and Signal, CSV, JSONL, text, folders and zips.
    """
    options = PrepareOptions(
        given_names=names,
        keeps_names=keep_names,
        gap_seconds=round(gap * 60),
        has_turns=turns,
        columns=_columns(columns),
        is_append=append,
    )
    stats = prepare(inputs, out, options)
    if session.is_json:
        session.emit("data.prepare", {**asdict(stats), "out": str(out)})
        return
    _show_batch(stats, stats.batches[-1], out, session)


@command_.command("stats")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tokenizer", type=click.Path(dir_okay=False, path_type=Path), help="Measure this .model on the text.")
@pass_session
def stats_(session: Session, folder: Path, tokenizer: Path | None) -> None:
    """What a folder that `data prepare` wrote holds, and how well a tokenizer fits it."""
    stats = read_stats(folder)
    suggested = suggest_vocab_size(size_of([folder]))
    metrics, leaks = _measure(folder, tokenizer) if tokenizer else (None, None)
    if session.is_json:
        data: dict[str, object] = {**asdict(stats), "suggested_vocab_size": suggested}
        if metrics and leaks:
            data |= {"tokenizer": asdict(metrics), "surviving_pieces": {k: len(v) for k, v in asdict(leaks).items()}}
        session.emit("data.stats", data)
        return
    print(f"{stats.documents:,} documents, {stats.held_out:,} held out, {stats.characters:,} characters")
    times = f"{stats.first_time or '?'} to {stats.last_time or '?'}"
    print(f"{stats.messages:,} messages, batches: {len(stats.batches)}, {times}")
    print(f"suggested vocabulary: {suggested:,} pieces")
    for placeholder, count in stats.replaced.items():
        print(f"{placeholder:<9} {count:,}")
    if metrics and leaks:
        print(f"{tokenizer}: {metrics.vocab_size:,} pieces\n{describe_metrics(metrics)}")
        warning = describe_leaks(leaks)
        if warning:
            session.notice(f"warning: {warning}")


def _measure(folder: Path, tokenizer: Path) -> tuple[Metrics, Leaks]:
    """The tokenizer on the folder's text, first on the documents that are held out."""
    encoder = load_encoder(tokenizer)
    split = prepared_split([folder])
    metrics = measure(encoder, read_ranges((*split.held_out.values(), *split.train.values())))
    return metrics, find_leaks(encoder, [folder])


def _columns(text: str | None) -> dict[str, str]:
    """The value of --columns, such as `text=Body,user=Name`, by role. Raises UsageError."""
    found = {}
    for part in (text or "").split(",") if text else ():
        role, equals_sign, name = part.partition("=")
        if role.strip() not in _ROLES or not equals_sign or not name.strip():
            raise UsageError(
                "--columns {part} is not ROLE=NAME with a role of time, user or text",
                "--columns text=Body,user=Sender,time=Date",
                part=f"{part!r}",
            )
        found[role.strip()] = name.strip()
    if found and "text" not in found:
        raise UsageError("--columns names no text", "--columns text=Body,user=Sender,time=Date")
    return found


def _show_batch(stats: Stats, batch: Batch, out: Path, session: Session) -> None:
    """Print what was read to stderr and the result to stdout. It shows nobody's words."""
    for file in batch.files:
        how = f"{file['format']} ({file['confidence']:.0%} sure), {file['encoding']}, {file['messages']:,} messages"
        session.notice(f"{file['name']}: {how}")
    for skipped in batch.left_alone:
        session.notice("warning: " + t("{name} was left alone: {why}", name=skipped["name"], why=skipped["why"]))
    for reason, count in batch.skipped.items():
        session.notice(t("left out: {count} {reason}", count=f"{count:,}", reason=reason))
    for kind, count in batch.duplicates.items():
        if count:
            session.notice(t("there already: {count} documents ({kind})", count=f"{count:,}", kind=kind))
    print(
        f"{batch.documents:,} documents and {batch.held_out:,} held out of {batch.messages:,} messages, "
        f"{batch.characters:,} characters -> {out}"
    )
    if len(stats.batches) > 1:
        print(f"{stats.documents:,} documents and {stats.held_out:,} held out in all {len(stats.batches)} batches")
    for placeholder, count in batch.replaced.items():
        print(f"{placeholder:<9} {count:,}")
