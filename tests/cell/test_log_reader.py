"""The log: its last lines, and new lines as soon as they are written."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellmind_agent.cell.log_reader import LogReader
from cellmind_agent.cell.logs import set_up_logging
from cellmind_agent.protocol import messages as m
from cellmind_agent.trust.permissions import Caller

CALLER = Caller(kind="local", curve_key=b"", device=None, host="")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with a log of its own; the test run's handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level, raises = root.handlers[:], root.level, logging.raiseExceptions
    set_up_logging(tmp_path, "info", "text")
    yield tmp_path
    for handler in root.handlers:
        handler.close()
    root.handlers[:], logging.raiseExceptions = handlers, raises
    root.setLevel(level)


def test_a_follower_gets_the_tail_and_then_each_new_line(home: Path) -> None:
    log = logging.getLogger("test")
    for number in range(5):
        log.info("line %d", number)

    async def play() -> None:
        reading = LogReader(home).handlers()[m.ReadLog](m.ReadLog(tail=2, follow=True), CALLER)
        async with asyncio.timeout(5):
            assert [line.rpartition(": ")[2] for line in (await anext(reading)).lines] == ["line 3", "line 4"]
            following = asyncio.create_task(anext(reading))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(log.info, "from a thread")
            assert [line.rpartition(": ")[2] for line in (await following).lines] == ["from a thread"]
        num_handlers = len(logging.getLogger().handlers)
        await reading.aclose()
        assert len(logging.getLogger().handlers) == num_handlers - 1

    asyncio.run(play())


def test_since_keeps_the_lines_of_a_traceback_with_its_record(home: Path) -> None:
    (home / "logs" / "agent.log").write_text(
        "2020-01-01T00:00:00+0000 ERROR a: old\nTraceback (most recent call last):\nOldError\n"
        "2999-01-01T00:00:00+0000 ERROR a: new\nTraceback (most recent call last):\n  File x\nNewError\n"
    )

    async def play() -> m.LogLines:
        request = m.ReadLog(tail=9, since_seconds=60.0)
        return await anext(LogReader(home).handlers()[m.ReadLog](request, CALLER))

    lines = asyncio.run(play()).lines
    assert [line.partition("a: ")[2] or line for line in lines] == [
        "new",
        "Traceback (most recent call last):",
        "  File x",
        "NewError",
    ]
