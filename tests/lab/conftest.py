"""A simulated home for each test. On a machine that cannot make one, the test skips with the reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import network
from tests.lab.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with 100 Mbit/s to and from each device."""
    why_not = network.why_not_here()
    if why_not:
        pytest.skip(why_not)
    with Home(tmp_path, link="100mbit") as made:
        yield made
