"""Sends lines of the agent's log file: the last ones, and new ones as they are written."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from cellmind_agent.cell.logs import TIME_FORMAT
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.home import log_path
from cellmind_agent.protocol.ids import printable
from cellmind_agent.protocol.limits import (
    LOG_FOLLOW_SECONDS,
    LOG_LINES_PER_MESSAGE,
    MAX_LOG_LINE_CHARACTERS,
    MAX_LOG_TAIL_LINES,
)
from cellmind_agent.trust.permissions import Caller


class LogReader:
    """Serves the log to this device's user and to the members of the cell."""

    def __init__(self, home: Path) -> None:
        self._path = log_path(home)

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.ReadLog: self._read}

    async def _read(self, request: m.ReadLog, caller: Caller) -> AsyncIterator[m.LogLines]:
        tail = max(0, min(request.tail, MAX_LOG_TAIL_LINES))
        with _noticing_records() as has_news:
            lines, offset = await asyncio.to_thread(self._tail, tail, request.since_seconds)
            for message in _messages(lines):
                yield message
            while request.follow:
                await has_news.wait()
                await asyncio.sleep(LOG_FOLLOW_SECONDS)  # lines come in bursts
                has_news.clear()
                lines, offset = await asyncio.to_thread(self._lines_from, offset)
                for message in _messages(lines):
                    yield message

    def _tail(self, tail: int, since_seconds: float | None) -> tuple[list[str], int]:
        """The last lines, of records not older than `since_seconds`, and the offset where they end."""
        lines, offset = self._lines_from(0)
        if since_seconds is not None:
            start = time.strftime(TIME_FORMAT, time.localtime(time.time() - since_seconds))
            # Lines of a traceback have no time: they belong to the record above them.
            new = (number for number, line in enumerate(lines) if line[:1].isdigit() and line[: len(start)] >= start)
            lines = lines[next(new, len(lines)) :]
        if not tail:
            return [], offset
        first = max(0, len(lines) - tail)
        while first > 0 and not lines[first][:1].isdigit():  # inside a traceback: begin with its record
            first -= 1
        return lines[first:], offset

    def _lines_from(self, offset: int) -> tuple[list[str], int]:
        """Whole lines from `offset` on, and the offset where they end. A file that has shrunk was rotated, and is read
        from its beginning."""
        try:
            with open(self._path, "rb") as file:
                size = file.seek(0, 2)
                file.seek(offset if offset <= size else 0)
                data = file.read()
                end = file.tell()
        except FileNotFoundError:
            return [], 0
        whole, newline, rest = data.rpartition(b"\n")
        lines = whole.decode("utf-8", "replace").split("\n") if newline else []
        return [printable(line, MAX_LOG_LINE_CHARACTERS) for line in lines], end - len(rest)


class _Notice(logging.Handler):
    """Sets an event in the loop after each log record, from whatever thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
        super().__init__()
        self._loop, self._event = loop, event

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._event.set)


@contextlib.contextmanager
def _noticing_records() -> Iterator[asyncio.Event]:
    """An event that is set after each log record, while the block runs."""
    event = asyncio.Event()
    notice = _Notice(asyncio.get_running_loop(), event)
    logging.getLogger().addHandler(notice)
    try:
        yield event
    finally:
        logging.getLogger().removeHandler(notice)


def _messages(lines: Sequence[str]) -> Iterator[m.LogLines]:
    for start in range(0, len(lines), LOG_LINES_PER_MESSAGE):
        yield m.LogLines(lines=tuple(lines[start : start + LOG_LINES_PER_MESSAGE]))
