"""`data prepare`: what people bring, to clean documents. Nothing leaves the machine, and nothing private of it is
printed.

    files, folders, zips -> blocks -> (1) everybody's names -> (2) clean conversations -> (3) without duplicates,
    split by time

Writes into a folder, each file whole or not at all:
    train.jsonl     a line {"text": ..., "time": ...} a document
    held-out.jsonl  the last ones in time, never trained on
    textonly.txt    the texts of train.jsonl, for the tokenizer
    stats.json      what came in, what went out, what was replaced how often (never the originals)
    summary.md, lengths-and-days.png    the same for people, with a few messages before and after
    index.bin       a fingerprint of each document, so that a later export adds only what is new
    names.json      a keyed hash of each hidden name, so that the tokenizer's pieces can be checked
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tokenizer.clean.blocks import Cleaned, Settings, clean_block, look
from tokenizer.clean.conversations import belong_together, join
from tokenizer.clean.documents import pack_documents
from tokenizer.clean.messages import Messages
from tokenizer.clean.names import names_from_users
from tokenizer.clean.reading import InputFile, recognise_file
from tokenizer.clean.sources import Skipped, Source, find_sources
from tokenizer.collection import Collection
from tokenizer.errors import TextError
from tokenizer.parallel import Workers, workers
from tokenizer.report import write_report
from tokenizer.spool import Spool, open_spool
from tokenizer.stats import Facts, FileReport, Stats, Wishes

_WORTH_PROCESSES: Final = 8 << 20  # bytes: below, starting them takes longer than the work
_FEW_SAMPLES: Final = 6


def prepare(inputs: Sequence[Path], out: Path, wishes: Wishes = Wishes()) -> Stats:  # noqa: B008  # it is frozen
    """Raises TextError; what was in `out` before stays as it was then."""
    if not inputs:
        raise TextError("nothing to prepare", "cellmindctl data prepare chat.csv --out data")
    collection = Collection(out)
    if wishes.is_append:
        collection.load()
    sources, left_alone = find_sources(inputs)
    files, unreadable = _recognised(sources, wishes, is_strict=len(sources) == 1)
    left_alone += unreadable
    if not files:
        raise TextError("there is no text in what was given", _why(left_alone))
    with workers(sum(file.source.size for file in files) > _WORTH_PROCESSES) as pool, open_spool(out) as spool:
        # 1. Who speaks? Their names must be known before the first message is cleaned.
        for file in files:
            file.open(spool.folder)
            file.scans = list(pool.map(look, file.blocks()))
        users = {user for file in files for found in file.scans for user in found.users}
        others = {name for file in files for name in file.names}
        names = set() if wishes.keeps_names else names_from_users(users | others, wishes.given_names)
        # 2. Clean block after block. Documents go to a spool on disk; of each an entry says what it is.
        settings = Settings(
            names=None if wishes.keeps_names else frozenset(names),
            gap_seconds=wishes.gap_seconds,
            has_turns=wishes.has_turns,
        )
        reports = [_clean_file(file, settings, pool, spool) for file in files]
        # 3. Leave out what is there already, hold out the last, write.
        _check_result(reports, spool)
        facts = Facts(
            files=tuple(reports),
            left_alone=tuple(left_alone),
            users=len(users),
            names=frozenset(names),
        )
        stats = collection.add(spool, facts)
        write_report(out, stats, collection.entries, spool.samples)
        return stats


def _recognised(sources: list[Source], wishes: Wishes, is_strict: bool) -> tuple[list[InputFile], list[Skipped]]:
    """What each file is. One file that is none is an error; among several it is left alone, and reported."""
    files: list[InputFile] = []
    unreadable: list[Skipped] = []
    for source in sources:
        try:
            files.append(recognise_file(source, len(files), wishes.columns))
        except TextError as error:
            if is_strict:
                raise
            unreadable.append(Skipped(source.name, error.message))
    return files, unreadable


def _clean_file(file: InputFile, settings: Settings, pool: Workers, spool: Spool) -> FileReport:
    report = FileReport(
        name=file.source.name, format=file.found.format, confidence=file.found.confidence, encoding=file.encoding
    )
    skipped: Counter[str] = Counter()
    opened: Messages | None = None  # a conversation that may go on in the next block
    for cleaned in pool.map(functools.partial(clean_block, settings=settings), file.blocks()):
        report.messages += cleaned.messages
        skipped.update(cleaned.skipped)
        spool.count(cleaned.messages, cleaned.empty, cleaned.replaced)
        spool.samples += cleaned.samples[: max(0, _FEW_SAMPLES - len(spool.samples))]
        opened = _put(cleaned, opened, file.number, settings, spool)
    if opened is not None:
        _put_edge(opened, file.number, settings, spool)
    report.skipped = dict(sorted((skipped + file.skipped).items()))
    return report


def _put(cleaned: Cleaned, opened: Messages | None, source: int, settings: Settings, spool: Spool) -> Messages | None:
    """A block's documents to the spool; the conversation that is open then."""
    if cleaned.first is None:
        return opened
    if opened is not None and belong_together(opened, cleaned.first, settings.gap_seconds):
        opened.times += cleaned.first.times
        opened.users += cleaned.first.users
        opened.texts += cleaned.first.texts
    else:
        if opened is not None:
            _put_edge(opened, source, settings, spool)
        opened = cleaned.first
    if cleaned.last is None:
        return opened
    _put_edge(opened, source, settings, spool)
    assert cleaned.documents is not None
    spool.put(cleaned.documents)
    return cleaned.last


def _put_edge(messages: Messages, source: int, settings: Settings, spool: Spool) -> None:
    document = join(messages, settings.has_turns)
    if document:
        spool.put(pack_documents([document], source))


def _check_result(reports: Sequence[FileReport], spool: Spool) -> None:
    if spool.documents:
        return
    skipped: Counter[str] = Counter()
    for report in reports:
        skipped.update(report.skipped)
    if sum(report.messages for report in reports):
        raise TextError("no text is left after cleaning", "are these the right files?")
    why = "; ".join(f"{count} {reason}" for reason, count in skipped.most_common(3)) or "no message was found"
    raise TextError(f"{reports[0].name}: {why}, and nothing else", "export it again, or name its columns: --columns")


def _why(left_alone: Iterable[Skipped]) -> str:
    return "; ".join(f"{skipped.name}: {skipped.why}" for skipped in list(left_alone)[:3]) or "name its files"
