"""`data prepare`: from the files that people bring to clean documents. Nothing leaves the machine, and no output shows
private text.

    files, folders, zips -> blocks -> (1) everybody's names -> (2) clean conversations -> (3) a batch without duplicates

It writes a folder of prepared text, each file whole or not at all:
    train.jsonl     a line {"text": ..., "time": ...} per document
    held-out.jsonl  the last documents in time, never trained on
    textonly.txt    the texts of train.jsonl, for the tokenizer
    stats.json      counts of what came in, what went out and what was replaced, never the originals
    summary.md, lengths-and-days.png    the same for people, with some messages before and after cleaning
    index.bin       a fingerprint per document, so that a later export adds only what is new
    names.json      a keyed hash per hidden name, so that the tokenizer's pieces can be checked
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tokenizer.corpus.cleaned_blocks import CleaningOptions, clean_block
from tokenizer.corpus.cleaning.names import names_from_users
from tokenizer.corpus.conversations.grouping import GAP_SECONDS
from tokenizer.corpus.conversations.joining import BlockJoiner, ConversationOptions
from tokenizer.corpus.input.blocks import scan_block
from tokenizer.corpus.input.input_file import InputFile, detect_file
from tokenizer.corpus.input.sources import SkippedFile, find_sources
from tokenizer.corpus.prepared.collection import Collection
from tokenizer.corpus.prepared.report import write_report
from tokenizer.corpus.prepared.spool import Spool, open_spool
from tokenizer.corpus.prepared.stats import FileReport, InputReport, Stats
from tokenizer.errors import TextError
from tokenizer.wording import Wording, english
from tokenizer.workers import Workers, open_workers

_MIN_PARALLEL_BYTES: Final = 8 << 20  # for less text, starting processes takes longer than the work
_MAX_SAMPLES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """What the user chose.

    `given_names` are names to hide besides those of the users; `keeps_names` hides none. `gap_seconds` of silence end
    a conversation; with `has_turns` each message names its speaker by a letter. `columns` maps time, user and text to
    the names of a table's columns. `is_append` adds to the folder instead of replacing it. `wording` words the summary.
    """

    given_names: tuple[str, ...] = ()
    keeps_names: bool = False
    gap_seconds: int = GAP_SECONDS
    has_turns: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    is_append: bool = False
    wording: Wording = english


def prepare(inputs: Sequence[Path], out: Path, options: PrepareOptions = PrepareOptions()) -> Stats:
    """Prepare the inputs into the folder `out`, and return its new statistics.

    Raises TextError if nothing can be prepared; `out` is then unchanged. Raises OSError if the disk fails or is full.
    """
    if not inputs:
        raise TextError("nothing to prepare", "cellmindctl data prepare chat.csv --out data")
    collection = Collection(out)
    if options.is_append:
        collection.load()
    files, left_alone = _find_files(inputs, options.columns)
    with (
        open_workers(sum(file.source.size for file in files) > _MIN_PARALLEL_BYTES) as workers,
        open_spool(out) as spool,
    ):
        # 1. Find everybody's names, which must be known before the first message is cleaned.
        users = _scan_files(files, workers, spool.folder)
        mentioned = {name for file in files for name in file.names}
        names = set() if options.keeps_names else names_from_users(users | mentioned, options.given_names)
        # 2. Clean block after block. The documents go to a spool on disk.
        cleaning = CleaningOptions(
            names=None if options.keeps_names else frozenset(names),
            conversations=ConversationOptions(gap_seconds=options.gap_seconds, has_turns=options.has_turns),
        )
        reports = [_clean_file(file, cleaning, workers, spool) for file in files]
        # 3. Leave out duplicates, hold out the last documents, and write the batch.
        _check_result(reports, spool)
        report = InputReport(
            files=tuple(reports), left_alone=tuple(left_alone), num_users=len(users), names=frozenset(names)
        )
        stats = collection.add(spool, report)
        write_report(out, stats, collection.entries, spool.samples, options.wording)
        return stats


def _find_files(inputs: Sequence[Path], columns: Mapping[str, str]) -> tuple[list[InputFile], list[SkippedFile]]:
    """The files that can be read, and the others. Raises TextError if there is none.

    A single file that cannot be read raises its own error; among several it is only reported.
    """
    sources, left_alone = find_sources(inputs)
    files: list[InputFile] = []
    unreadable: list[SkippedFile] = []
    for source in sources:
        try:
            files.append(detect_file(source, len(files), columns))
        except TextError as error:
            if len(sources) == 1:
                raise
            unreadable.append(SkippedFile(source.name, str(error)))
    left_alone += unreadable
    if not files:
        why = "; ".join(f"{skipped.name}: {skipped.why}" for skipped in left_alone[:3])
        raise TextError("there is no text in these inputs", "{why}" if why else "name its files", why=why)
    return files, left_alone


def _scan_files(files: Sequence[InputFile], workers: Workers, folder: Path) -> set[str]:
    """The first pass over all files; returns their users. `folder` is for copies of files that cannot be cut."""
    for file in files:
        file.open(folder)
        file.scans = list(workers.map(scan_block, file.blocks()))
    return {user for file in files for scan in file.scans for user in scan.users}


def _clean_file(file: InputFile, options: CleaningOptions, workers: Workers, spool: Spool) -> FileReport:
    """The second pass over one file: its documents go to the spool."""
    report = FileReport(
        name=file.source.name, format=file.detected.name, confidence=file.detected.confidence, encoding=file.encoding
    )
    skipped: Counter[str] = Counter()
    joiner = BlockJoiner(options.conversations, file.number)
    for cleaned in workers.map(functools.partial(clean_block, options=options), file.blocks()):
        report.messages += cleaned.messages
        skipped.update(cleaned.skipped)
        spool.count(cleaned.messages, cleaned.empty, cleaned.replaced)
        spool.samples += cleaned.samples[: max(0, _MAX_SAMPLES - len(spool.samples))]
        for documents in joiner.add(cleaned.conversations):
            spool.put(documents)
    for documents in joiner.finish():
        spool.put(documents)
    report.skipped = dict(sorted((skipped + file.skipped).items()))
    return report


def _check_result(reports: Sequence[FileReport], spool: Spool) -> None:
    """Raises TextError if the spool has no document."""
    if spool.documents:
        return
    skipped: Counter[str] = Counter()
    for report in reports:
        skipped.update(report.skipped)
    if sum(report.messages for report in reports):
        raise TextError("no text is left after cleaning", "are these the right files?")
    hint = "export it again, or name its columns: --columns"
    if not skipped:
        raise TextError("{name}: no message was found", hint, name=reports[0].name)
    why = "; ".join(f"{count} {reason}" for reason, count in skipped.most_common(3))
    raise TextError("{name}: {why}, and nothing else", hint, name=reports[0].name, why=why)
