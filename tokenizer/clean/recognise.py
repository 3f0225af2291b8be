"""Which messenger wrote a file, and how sure that is. Pure: it looks at the beginning of the text and at nothing
else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenizer.clean.formats import discord, kakaotalk, line, signal, telegram, whatsapp
from tokenizer.clean.formats.lines import LineFormat
from tokenizer.clean.formats.records import JsonFormat
from tokenizer.clean.formats.table import MAC_NAME, MAC_ROW, Columns, find_columns, read_header
from tokenizer.errors import TextError

# Where two fit, the one that stands first is the stricter one.
LINE_FORMATS: Final[Mapping[str, LineFormat]] = {
    form.name: form
    for form in (
        kakaotalk.WINDOWS,
        kakaotalk.ANDROID,
        kakaotalk.IOS,
        signal.SIGNAL,
        line.LINE,
        whatsapp.ANDROID,
        whatsapp.IOS,
    )
}
JSON_FORMATS: Final[Mapping[str, JsonFormat]] = {
    form.name: form
    for form in (
        JsonFormat(name="Telegram", prefixes=telegram.PREFIXES, read_message=telegram.read_message),
        JsonFormat(name="Discord", prefixes=discord.PREFIXES, read_message=discord.read_message),
    )
}
CSV, JSON_LINES, PLAIN = "CSV", "JSON lines", "plain text"
_ENOUGH: Final = 0.3
_LINES_TRIED: Final = 20
_KEY: Final = re.compile(r'"([^"\\\n]{1,60})"\s*:')
_TELEGRAM_SIGNS: Final = ('"from_id"', '"text_entities"', '"date_unixtime"', '"type": "service"')
_DISCORD_SIGNS: Final = ('"guild"', '"channel"', '"exportedAt"', '"isBot"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """`format` is a key of LINE_FORMATS or JSON_FORMATS, MAC_NAME, CSV, JSON_LINES or PLAIN; `confidence` is 0 to 1."""

    format: str
    confidence: float
    columns: Columns | None = None
    header: tuple[str, ...] = ()
    delimiter: str = ","


def recognise(sample: str, name: str, wish: Mapping[str, str] | None = None) -> Recognised:
    """`sample` is the beginning of a file, `wish` the columns that a person named. Raises TextError: a table without a
    column of texts."""
    suffix = name.rpartition(".")[2].lower()
    stripped = sample.lstrip()
    if stripped.startswith(("{", "[")):
        found = _json(stripped, suffix, wish or {})
        if found:
            return found
        if suffix in ("json", "jsonl", "ndjson"):
            raise TextError(
                f"{name} is JSON of no kind that is known here",
                'Telegram and Discord exports are, and lines such as {"text": "안녕"}',
            )
    table = _table(sample, name, suffix, wish or {})
    if table:
        return table
    scored = [(_confidence(form, sample), -place, form.name) for place, form in enumerate(LINE_FORMATS.values())]
    confidence, _, best = max(scored)
    if confidence >= _ENOUGH:
        return Recognised(format=best, confidence=confidence)
    return Recognised(format=PLAIN, confidence=1 - confidence)


def _confidence(form: LineFormat, sample: str) -> float:
    """The share of lines that the format explains; a title makes it nearly sure."""
    text = f"\n{sample}"
    lines = [line for line in sample.split("\n") if line.strip()]
    records = len(form.record.findall(text))
    if not records or not lines:
        return 0.0
    explained = records
    if form.day_line:
        days = len(form.day_line.findall(text))
        if not days:
            return 0.0  # clock times without a day: some log, perhaps
        explained += days
    if form.noise:
        explained += len(form.noise.findall(text))
    share = min(1.0, explained / len(lines))
    if form.title and form.title.match(sample.lstrip("\ufeff\n ")):
        return 1 - (1 - share) / 10
    return share * 0.95


def _json(sample: str, suffix: str, wish: Mapping[str, str]) -> Recognised | None:
    for beginning in sample.split("\n")[:_LINES_TRIED]:
        try:
            plain = json.loads(beginning)
        except (ValueError, RecursionError):
            continue
        if isinstance(plain, dict) and "messages" not in plain and "chats" not in plain:
            columns = find_columns(list(plain), wish)
            if columns:
                return Recognised(format=JSON_LINES, confidence=1.0, columns=columns)
    if suffix in ("jsonl", "ndjson"):
        columns = find_columns([*_KEY.findall(sample), "text"], wish)  # a line longer than the sample
        if columns:
            return Recognised(format=JSON_LINES, confidence=0.5, columns=columns)
    signs = {
        "Telegram": sum(sign in sample for sign in _TELEGRAM_SIGNS),
        "Discord": sum(sign in sample for sign in _DISCORD_SIGNS),
    }
    best = max(signs, key=signs.__getitem__)
    if signs[best] >= 2 or (signs[best] and '"messages"' in sample):
        return Recognised(format=best, confidence=min(1.0, 0.4 + 0.2 * signs[best]))
    return None


def _table(sample: str, name: str, suffix: str, wish: Mapping[str, str]) -> Recognised | None:
    first = sample.lstrip("\ufeff").split("\n", 1)[0]
    header, delimiter = read_header(first)
    columns = find_columns(header, wish) if len(header) > 1 or suffix in ("csv", "tsv") else None
    is_mac = [cell.lower() for cell in header] == ["date", "user", "message"]
    if is_mac and not wish and MAC_ROW.search(sample):
        return Recognised(format=MAC_NAME, confidence=1.0, columns=columns, header=header)
    if columns and (suffix in ("csv", "tsv") or wish):
        return Recognised(format=CSV, confidence=1.0, columns=columns, header=header, delimiter=delimiter)
    if suffix in ("csv", "tsv") or wish:
        asked = ", ".join(f"{role}={column}" for role, column in wish.items()) or "no column date, user, message"
        have = re.sub(r"\s+", " ", ", ".join(header))[:120]
        raise TextError(
            f"{name} has {asked}: its columns are {have}" if not wish else f"{name} has no such columns ({asked})",
            f"name them: --columns text=...,user=...,time=... (there are: {have})",
        )
    return None
