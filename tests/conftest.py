"""What every test may use: a home of real agents in real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents import Cell


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    """Agents on loopback ports of their own, without mDNS; all ended afterwards, and nothing of theirs left."""
    made = Cell(tmp_path)
    yield made
    made.close()
