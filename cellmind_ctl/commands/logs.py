"""`cellmindctl logs`: print a device's log, over the agents' own link."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.limits import MAX_LOG_TAIL_LINES
from cellmind_agent.words import t
from cellmind_agent.words.log_lines import log_line
from cellmind_ctl.discover import device_named, list_peers
from cellmind_ctl.figures import parse_duration, rfc3339
from cellmind_ctl.session import Session, command

# As `cellmind_agent/cell/logs.py` writes a record to the file.
_RECORD = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}) ([A-Z]+) +([\w.]+): (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a log, with the lines that belong to it. A line before the first record has a message alone."""

    message: str
    time: float | None = None  # seconds since 1970
    level: str | None = None
    logger: str | None = None


@command("logs")
@click.argument("device", required=False)
@click.option("-f", "--follow", is_flag=True, help="Keep printing until Ctrl-C.")
@click.option("--since", metavar="10m", help="Only lines that are newer than this.")
@click.option(
    "--tail",
    type=click.IntRange(0, MAX_LOG_TAIL_LINES),
    default=100,
    show_default=True,
    help="How many of the last lines.",
)
def command_(session: Session, device: str | None, follow: bool, since: str | None, tail: int) -> None:
    """Print the log of DEVICE (default: this device)."""
    request = m.ReadLog(tail=tail, since_seconds=parse_duration(since) if since else None, follow=follow)
    if device:
        peer = device_named(session.client, device)
    else:
        peer = next(peer for peer in list_peers(session.client) if peer.is_self)
    messages = session.client.stream(request, peer.id if device else None)
    for record in records((event.lines for event in messages), follow):
        if session.is_json:
            session.emit_event("line", record_json(record, peer.name))
        else:
            print(short_form(record, time.time()), flush=follow)


def records(messages: Iterable[Iterable[str]], follow: bool) -> Iterator[Record]:
    """The records of these messages' lines. What follows a record, such as a traceback, becomes part of its message.

    With `follow` a record ends with the message that brings it, because the next one may be hours away; lines of it
    that come later are a record with the same time, level and logger.
    """
    last, lines = Record(message=""), list[str]()
    for message in messages:
        for line in message:
            found = _RECORD.fullmatch(line)
            if found and lines:
                yield replace(last, message="\n".join(lines))
                lines = []
            if found:
                last = _record(found)
            lines.append(last.message if found else line)
        if follow and lines:
            yield replace(last, message="\n".join(lines))
            lines = []
    if lines:
        yield replace(last, message="\n".join(lines))


def record_json(record: Record, device: str) -> dict[str, object]:
    """The fields that scripts rely on; null where a line belongs to no record."""
    return {
        "time": rfc3339(record.time),
        "level": record.level,
        "device": device,
        "logger": record.logger,
        "message": record.message,
    }


def short_form(record: Record, now: float) -> str:
    """A record for a person: the time (with the date if it was not today), a level other than info, and the room."""
    if record.time is None or record.level is None or record.logger is None:
        return log_line(record.message)
    day_and_time = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.time))
    moment = day_and_time.removeprefix(time.strftime("%Y-%m-%d ", time.localtime(now)))
    level = "" if record.level == "info" else f"{t(record.level)} "
    return f"{moment} {level}{record.logger.removeprefix('cellmind_agent.')}: {log_line(record.message)}"


def _record(found: re.Match[str]) -> Record:
    moment = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    return Record(message=found[4], time=moment, level=found[2].lower(), logger=found[3])
