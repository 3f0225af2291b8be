"""What `data prepare` did, for people: summary.md, and a picture of lengths and days.

Neither has private text: the messages that they show are messages in which nothing was hidden.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tokenizer.corpus.conversations.documents import Entries
from tokenizer.corpus.messages import NO_TIME
from tokenizer.corpus.prepared.stats import Batch, Stats
from tokenizer.corpus.prepared_files import PICTURE, SUMMARY, TRAIN
from tokenizer.files import write_whole
from tokenizer.text_size import suggest_vocab_size
from tokenizer.wording import Wording, english

_DAY_SECONDS: Final = 86_400
_MAX_BARS: Final = 120
_BLUE, _GREY = "#3b6ea5", "#555555"


def write_report(
    folder: Path, stats: Stats, entries: Entries, samples: Sequence[tuple[str, str]], t: Wording = english
) -> None:
    """Write the summary and the picture. `samples` are messages of the last batch before and after cleaning.

    The picture's words are English: few machines have a font with Hangul. Raises OSError.
    """
    picture = draw(entries)
    if picture is None:
        (folder / PICTURE).unlink(missing_ok=True)
    else:
        write_whole(folder / PICTURE, picture)
    parts = [
        f"# {folder.absolute().name}",
        _totals(stats, t),
        f"![lengths and days]({PICTURE})" if picture else t("(A picture needs matplotlib: pip install matplotlib)"),
        *_section(
            t("Replaced"), (t("what"), t("times")), [(f"`{what}`", f"{n:,}") for what, n in stats.replaced.items()]
        ),
        *_section(
            t("Left out"), (t("what"), t("times")), _counts({**stats.skipped, "messages without text": stats.empty}, t)
        ),
        *_section(t("There already"), (t("documents"), t("times")), _counts(stats.duplicates, t)),
        *_section(
            t("Before and after"), (t("before"), t("after")), [(_cell(raw), _cell(text)) for raw, text in samples]
        ),
    ]
    for number, batch in enumerate(stats.batches, 1):
        headers = (t("file"), t("format"), t("encoding"), t("messages"))
        parts += _section(t("Batch {number}", number=number), headers, _files(batch, t))
        skipped = [(_cell(file["name"]), _cell(t(file["why"]))) for file in batch.left_alone]
        parts += _section("", (t("left alone"), t("why")), skipped)
    write_whole(folder / SUMMARY, ("\n\n".join(parts) + "\n").encode(errors="backslashreplace"))


def _totals(stats: Stats, t: Wording) -> str:
    return t(
        "{documents} documents to train on and {held_out} held out (the last in time), from {messages} messages of "
        "{users} people in {batches} batches: {characters} characters, {first} to {last}. A vocabulary of {vocabulary} "
        "pieces suits that.",
        documents=f"{stats.documents:,}",
        held_out=f"{stats.held_out:,}",
        messages=f"{stats.messages:,}",
        users=f"{stats.users:,}",
        batches=len(stats.batches),
        characters=f"{stats.characters:,}",
        first=stats.first_time or "?",
        last=stats.last_time or "?",
        vocabulary=f"{suggest_vocab_size(stats.batches[-1].sizes[TRAIN]):,}",
    )


def draw(entries: Entries) -> bytes | None:
    """A PNG of how long the documents are and how much was written when. None if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure  # without pyplot: no window, no global state
    except ImportError:
        return None
    figure = Figure(figsize=(9, 3.4), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_lengths(left, entries)
    _draw_days(right, entries)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw_lengths(axes: Any, entries: Entries) -> None:
    sizes = entries["characters"].astype(np.int64)
    sizes = sizes[sizes > 0]
    if len(sizes):
        shortest, longest = int(sizes.min()), int(sizes.max())
        axes.hist(sizes, bins=np.geomspace(shortest, longest * 1.01 + 1, 40), color=_BLUE)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.axvline(float(np.median(sizes)), color=_GREY, linestyle="--", linewidth=1)
        axes.set_title(f"documents: half are longer than {int(np.median(sizes)):,} characters", fontsize=10)
    axes.set_xlabel("characters in a document")
    axes.set_ylabel("documents")


def _draw_days(axes: Any, entries: Entries) -> None:
    timed = entries[entries["start"] != NO_TIME]
    if len(timed):
        days, messages = _messages_by_day(timed)
        axes.bar(days, messages, width=np.diff(days).min() if len(days) > 1 else np.timedelta64(1, "D"), color=_BLUE)
        axes.set_title(f"messages over time ({_period(days)} a bar)", fontsize=10)
        axes.tick_params(axis="x", rotation=30)
    else:
        axes.text(0.5, 0.5, "these texts have no times", ha="center", va="center", color=_GREY)
        axes.set_axis_off()
    axes.set_ylabel("messages")


def _messages_by_day(timed: Entries) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.float64]]:
    """The first days of at most _MAX_BARS periods of equal length, and how many messages each period has."""
    day = timed["start"] // _DAY_SECONDS
    first, last = int(day.min()), int(day.max())
    stride = -(-(last - first + 1) // _MAX_BARS)
    counts = np.bincount((day - first) // stride, weights=timed["messages"])
    starts = (first + np.arange(len(counts)) * stride).astype("datetime64[D]")
    return starts, counts.astype(np.float64, copy=False)


def _period(days: npt.NDArray[np.datetime64]) -> str:
    count = int((days[1] - days[0]).astype(int)) if len(days) > 1 else 1
    return "a day" if count == 1 else f"{count} days"


def _section(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A heading and a table; nothing if there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return []
    head = [f"| {' | '.join(headers)} |", f"|{'---|' * len(headers)}"]
    return [*([f"## {title}"] if title else []), "\n".join([*head, *lines])]


def _counts(counts: Mapping[str, int], t: Wording) -> list[tuple[str, str]]:
    return [(_cell(t(what)), f"{count:,}") for what, count in counts.items() if count]


def _files(batch: Batch, t: Wording) -> list[tuple[str, ...]]:
    return [
        (
            _cell(file["name"]),
            t("{format} ({percent} % sure)", format=t(file["format"]), percent=f"{100 * file['confidence']:.0f}"),
            file["encoding"],
            f"{file['messages']:,}",
        )
        for file in batch.files
    ]


def _cell(text: str) -> str:
    """A text for a cell of a Markdown table, with all Markdown signs escaped."""
    plain = "".join(f"\\{character}" if character in "\\`*_[]<>|#~!" else character for character in text)
    return plain.replace("\n", " ⏎ ")
