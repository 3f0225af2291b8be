"""Detects the format of a file from the beginning of its text, with a confidence. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenizer.corpus.formats import discord, kakaotalk, line_messenger, signal, telegram, whatsapp
from tokenizer.corpus.formats.json_export import JsonExport
from tokenizer.corpus.formats.kakaotalk_csv import HEADER, KAKAOTALK_CSV, ROW_BEGINNING
from tokenizer.corpus.formats.table import Columns, find_columns, read_header
from tokenizer.corpus.formats.text_export import TextExport
from tokenizer.errors import TextError

# If two formats fit equally well, the first wins: it is the stricter one.
TEXT_EXPORTS: Final[Mapping[str, TextExport]] = {
    form.name: form
    for form in (
        kakaotalk.WINDOWS,
        kakaotalk.ANDROID,
        kakaotalk.IOS,
        signal.SIGNAL,
        line_messenger.LINE,
        whatsapp.ANDROID,
        whatsapp.IOS,
    )
}
JSON_EXPORTS: Final[Mapping[str, JsonExport]] = {
    form.name: form
    for form in (
        JsonExport(name="Telegram", prefixes=telegram.PREFIXES, read_message=telegram.read_message),
        JsonExport(name="Discord", prefixes=discord.PREFIXES, read_message=discord.read_message),
    )
}
CSV, JSON_LINES, PLAIN = "CSV", "JSON lines", "plain text"
_MIN_CONFIDENCE: Final = 0.3  # below it a file is plain text
_MAX_LINES_TRIED: Final = 20
_KEY: Final = re.compile(r'"([^"\\\n]{1,60})"\s*:')
# Keys that are rare elsewhere and stand near the beginning of an export.
_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "Telegram": ('"from_id"', '"text_entities"', '"date_unixtime"', '"type": "service"'),
    "Discord": ('"guild"', '"channel"', '"exportedAt"', '"isBot"'),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedFormat:
    """The format of a file. `confidence` is 0 to 1.

    `name` is a key of TEXT_EXPORTS or JSON_EXPORTS, KAKAOTALK_CSV, CSV, JSON_LINES or PLAIN. The other fields describe
    a table.
    """

    name: str
    confidence: float
    columns: Columns | None = None
    header: tuple[str, ...] = ()
    delimiter: str = ","


def detect_format(sample: str, file_name: str, named: Mapping[str, str] | None = None) -> DetectedFormat:
    """The format of a file that begins with `sample`. `named` maps time, user and text to columns the user named.

    Raises TextError for JSON of an unknown kind, and for a table without a column of texts.
    """
    suffix = file_name.rpartition(".")[2].lower()
    stripped = sample.lstrip()
    if stripped.startswith(("{", "[")):
        found = _detect_json(stripped, suffix, named or {})
        if found:
            return found
        if suffix in ("json", "jsonl", "ndjson"):
            raise TextError(
                "{file_name} is JSON of no kind that is known here",
                'exports of Telegram and Discord are known, and lines such as {"text": "안녕"}',
                file_name=file_name,
            )
    table = _detect_table(sample, file_name, suffix, named or {})
    if table:
        return table
    # -place: of formats with equal confidence the first wins.
    scored = [(_confidence(form, sample), -place, form.name) for place, form in enumerate(TEXT_EXPORTS.values())]
    confidence, _, best = max(scored)
    if confidence >= _MIN_CONFIDENCE:
        return DetectedFormat(name=best, confidence=confidence)
    return DetectedFormat(name=PLAIN, confidence=1 - confidence)


def _confidence(form: TextExport, sample: str) -> float:
    """The share of lines that the format explains. A matching title makes the format nearly certain."""
    text = f"\n{sample}"
    lines = [line for line in sample.split("\n") if line.strip()]
    records = len(form.record.findall(text))
    if not records or not lines:
        return 0.0
    explained = records
    if form.day_line:
        days = len(form.day_line.findall(text))
        if not days:
            return 0.0  # clock times without a day may be any log
        explained += days
    if form.noise:
        explained += len(form.noise.findall(text))
    share = min(1.0, explained / len(lines))
    if form.title and form.title.match(sample.lstrip("\ufeff\n ")):
        return 1 - (1 - share) / 10
    return share * 0.95


def _detect_json(sample: str, suffix: str, named: Mapping[str, str]) -> DetectedFormat | None:
    # JSON lines: one of the first lines is an object with a column of texts.
    for beginning in sample.split("\n")[:_MAX_LINES_TRIED]:
        try:
            plain = json.loads(beginning)
        except (ValueError, RecursionError):
            continue
        if isinstance(plain, dict) and "messages" not in plain and "chats" not in plain:
            columns = find_columns(list(plain), named)
            if columns:
                return DetectedFormat(name=JSON_LINES, confidence=1.0, columns=columns)
    if suffix in ("jsonl", "ndjson"):
        columns = find_columns([*_KEY.findall(sample), "text"], named)  # the first line is longer than the sample
        if columns:
            return DetectedFormat(name=JSON_LINES, confidence=0.5, columns=columns)
    num_signs = {name: sum(sign in sample for sign in signs) for name, signs in _SIGNS.items()}
    best = max(num_signs, key=num_signs.__getitem__)
    if num_signs[best] >= 2 or (num_signs[best] and '"messages"' in sample):
        return DetectedFormat(name=best, confidence=min(1.0, 0.4 + 0.2 * num_signs[best]))
    return None


def _detect_table(sample: str, file_name: str, suffix: str, named: Mapping[str, str]) -> DetectedFormat | None:
    first = sample.lstrip("\ufeff").split("\n", 1)[0]
    header, delimiter = read_header(first)
    columns = find_columns(header, named) if len(header) > 1 or suffix in ("csv", "tsv") else None
    if [cell.lower() for cell in header] == HEADER and not named and ROW_BEGINNING.search(sample):
        return DetectedFormat(name=KAKAOTALK_CSV, confidence=1.0, columns=columns, header=header)
    if columns and (suffix in ("csv", "tsv") or named):
        return DetectedFormat(name=CSV, confidence=1.0, columns=columns, header=header, delimiter=delimiter)
    if suffix not in ("csv", "tsv") and not named:
        return None
    existing = re.sub(r"\s+", " ", ", ".join(header))[:120]
    hint = "name them: --columns text=...,user=...,time=... (there are: {existing})"
    if named:
        wrong = ", ".join(f"{role}={column}" for role, column in named.items())
        message = "{file_name} has no such columns ({wrong})"
        raise TextError(message, hint, file_name=file_name, wrong=wrong, existing=existing)
    raise TextError(
        "{file_name} has no column date, user, message: its columns are {existing}",
        hint,
        file_name=file_name,
        existing=existing,
    )
