"""Writes the agent's log to a rotating file and to standard error. It never holds a prompt, an answer or a text."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from pathlib import Path
from typing import Literal

from cellmind_agent.protocol.home import log_path
from cellmind_agent.protocol.limits import LOG_FILE_BYTES, LOG_FILES_KEPT
from cellmind_agent.storage.files import private_folder

LogFormat = Literal["text", "json", "journal"]
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S%z"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        plain = {
            "time": self.formatTime(record, TIME_FORMAT),
            "level": record.levelname.lower(),
            "where": record.name,
            "message": super().format(record),
        }
        return json.dumps(plain, ensure_ascii=False)


class _JournalFormatter(logging.Formatter):
    """systemd's journal adds the time itself, and reads the level from `<N>`."""

    def format(self, record: logging.LogRecord) -> str:
        level = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}.get(record.levelname, 6)
        return f"<{level}>{super().format(record)}"


def set_up_logging(home: Path, level: str, screen_format: LogFormat) -> None:
    """Log to a file in the home, always as text, and to standard error in the given format."""
    private_folder(home / "logs")
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", TIME_FORMAT)
    file = logging.handlers.RotatingFileHandler(
        log_path(home), maxBytes=LOG_FILE_BYTES, backupCount=LOG_FILES_KEPT, encoding="utf-8", errors="replace"
    )
    file.setFormatter(text)
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter({"text": text, "json": _JsonFormatter(), "journal": _JournalFormatter()}[screen_format])
    root = logging.getLogger()
    root.setLevel(level.upper())
    root.handlers[:] = [file, screen]
    logging.raiseExceptions = False  # a full disk must not fill the screen with tracebacks
    for noisy in ("asyncio", "zmq.auth", "zeroconf"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
