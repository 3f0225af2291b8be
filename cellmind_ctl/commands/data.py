"""`cellmindctl data`: prepares text for training, and says what prepared text holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.words import t
from cellmind_ctl.project import FEW_HELD_OUT, MIN_HELD_OUT
from cellmind_ctl.session import Group, Session, pass_session
from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.corpus.prepared.jsonl import read_ranges
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.corpus.prepared.stats import Batch, Stats, read_stats
from tokenizer.corpus.texts import size_of
from tokenizer.text_size import suggest_vocab_size
from tokenizer.vocabulary.encoding import load_encoder
from tokenizer.vocabulary.leaks import Leaks, describe_leaks, find_leaks
from tokenizer.vocabulary.metrics import Metrics, describe_metrics, measure

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
        wording=t,
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
    _show_stats(stats, suggested)
    if metrics and leaks:
        pieces = t("{path}: {count} pieces", path=tokenizer, count=f"{metrics.vocab_size:,}")
        print(f"{pieces}\n{describe_metrics(metrics, t)}")
        warning = describe_leaks(leaks, t)
        if warning:
            session.warn(warning)


def _show_stats(stats: Stats, suggested: int) -> None:
    counts = {"documents": stats.documents, "held_out": stats.held_out, "characters": stats.characters}
    print(t("{documents} documents, {held_out} held out, {characters} characters", **_with_commas(counts)))
    text = "{messages} messages, batches: {batches}, {first} to {last}"
    times = {"first": stats.first_time or "?", "last": stats.last_time or "?"}
    print(t(text, messages=f"{stats.messages:,}", batches=len(stats.batches), **times))
    print(t("suggested vocabulary: {count} pieces", count=f"{suggested:,}"))
    _show_replaced(stats.replaced)


def _show_replaced(replaced: Mapping[str, int]) -> None:
    for placeholder, count in replaced.items():
        print(f"{placeholder:<9} {count:,}")


def _with_commas(counts: Mapping[str, int]) -> dict[str, str]:
    return {name: f"{count:,}" for name, count in counts.items()}


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
        how = {"format": t(file["format"]), "percent": f"{100 * file['confidence']:.0f}", "encoding": file["encoding"]}
        text = "{name}: {format} ({percent} % sure), {encoding}, {messages} messages"
        session.notice(t(text, name=file["name"], messages=f"{file['messages']:,}", **how))
    for skipped in batch.left_alone:
        session.warn(t("{name} was left alone: {why}", name=skipped["name"], why=t(skipped["why"])))
    for reason, count in batch.skipped.items():
        session.notice(t("left out: {count} {reason}", count=f"{count:,}", reason=t(reason)))
    for kind, count in batch.duplicates.items():
        if count:
            session.notice(t("there already: {count} documents ({kind})", count=f"{count:,}", kind=t(kind)))
    if stats.held_out < MIN_HELD_OUT:
        session.warn(t(FEW_HELD_OUT, count=stats.held_out))
    counts = {"documents": batch.documents, "held_out": batch.held_out, "messages": batch.messages}
    text = "{documents} documents and {held_out} held out of {messages} messages, {characters} characters -> {out}"
    print(t(text, **_with_commas({**counts, "characters": batch.characters}), out=out))
    if len(stats.batches) > 1:
        counts = {"documents": stats.documents, "held_out": stats.held_out, "batches": len(stats.batches)}
        print(t("{documents} documents and {held_out} held out in all {batches} batches", **_with_commas(counts)))
    _show_replaced(batch.replaced)
