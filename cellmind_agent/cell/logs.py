"""The agent's log: written to a rotating file, read back for its people. Never holds a prompt, an answer or a text."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.home import log_path
from cellmind_agent.protocol.ids import printable
from cellmind_agent.protocol.limits import MAX_LOG_LINE_CHARACTERS
from cellmind_agent.storage.files import private_folder
from cellmind_agent.trust.permissions import Caller

LogFormat = Literal["text", "json", "journal"]
_FILE_BYTES = 2 * 2**20
_FILES_KEPT = 3
_LINES_AT_ONCE = 200
_TIME = "%Y-%m-%dT%H:%M:%S%z"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        plain = {
            "time": self.formatTime(record, _TIME),
            "level": record.levelname.lower(),
            "where": record.name,
            "message": super().format(record),
        }
        return json.dumps(plain, ensure_ascii=False)


class _JournalFormatter(logging.Formatter):
    """systemd's journal has the time already, and reads the level from `<N>`."""

    def format(self, record: logging.LogRecord) -> str:
        level = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}.get(record.levelname, 6)
        return f"<{level}>{super().format(record)}"


def set_up_logging(home: Path, level: str, form: LogFormat) -> None:
    """To a rotating file in the home (always text), and to standard error in the wanted form."""
    private_folder(home / "logs")
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", _TIME)
    file = logging.handlers.RotatingFileHandler(
        log_path(home), maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8", errors="replace"
    )
    file.setFormatter(text)
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter({"text": text, "json": _JsonFormatter(), "journal": _JournalFormatter()}[form])
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [file, screen]
    logging.raiseExceptions = False  # a full disk must not fill the screen with tracebacks
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("zmq.auth").setLevel(logging.WARNING)
    logging.getLogger("zeroconf").setLevel(logging.WARNING)


class LogReader:
    """Serves the log to this device's people and to the cell's members."""

    def __init__(self, home: Path) -> None:
        self._path = log_path(home)

    def handlers(self) -> dict[type, Handler]:
        return {m.ReadLog: self._read}

    async def _read(self, request: m.ReadLog, caller: Caller) -> AsyncIterator[m.LogLines]:
        tail = max(0, min(request.tail, 10_000))
        lines, place = await asyncio.to_thread(self._tail, tail, request.since_seconds)
        for start in range(0, len(lines), _LINES_AT_ONCE):
            yield m.LogLines(lines=tuple(lines[start : start + _LINES_AT_ONCE]))
        while request.follow:
            await asyncio.sleep(0.3)
            fresh, place = await asyncio.to_thread(self._since, place)
            for start in range(0, len(fresh), _LINES_AT_ONCE):
                yield m.LogLines(lines=tuple(fresh[start : start + _LINES_AT_ONCE]))

    def _tail(self, tail: int, since_seconds: float | None) -> tuple[list[str], int]:
        lines, place = self._since(0)
        if since_seconds is not None:
            start = time.strftime(_TIME, time.localtime(time.time() - since_seconds))
            lines = [line for line in lines if line[: len(start)] >= start]
        return lines[-tail:] if tail else [], place

    def _since(self, place: int) -> tuple[list[str], int]:
        """Whole lines from `place` on, and where they end. A file that shrank was rotated: from its beginning."""
        try:
            with open(self._path, "rb") as file:
                size = file.seek(0, 2)
                file.seek(place if place <= size else 0)
                data = file.read()
                end = file.tell()
        except FileNotFoundError:
            return [], 0
        whole, newline, rest = data.rpartition(b"\n")
        lines = whole.decode("utf-8", "replace").split("\n") if newline else []
        return [printable(line, MAX_LOG_LINE_CHARACTERS) for line in lines], end - len(rest)
