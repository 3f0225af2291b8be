"""What every test may use: a home of real agents in real processes."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents import Cell

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would every command that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    """Agents on loopback ports of their own, without mDNS; all ended afterwards, and nothing of theirs left."""
    made = Cell(tmp_path)
    yield made
    made.close()
