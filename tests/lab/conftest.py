"""A simulated home for each test; where the machine cannot have one, the test skips and says why."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import network
from tests.lab.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """100 Mbit/s to each device, both ways."""
    why_not = network.why_not_here()
    if why_not:
        pytest.skip(why_not)
    with Home(tmp_path, link="100mbit") as made:
        yield made
