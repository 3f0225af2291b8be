"""The rate to another device is measured with pieces that grow as long as they are quick."""

import asyncio
from typing import Any

import pytest

from cellmind_agent.network.rates import sending_rate
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import LinkLostError
from cellmind_agent.protocol.limits import CHUNK_BYTES, RATE_FIRST_BYTES
from tests.virtual_time import run_in_virtual_time


class SlowLink:
    """Stands in for Link: bytes pass at a rate, one message after the other."""

    def __init__(self, bytes_per_second: float) -> None:
        self.sizes: list[int] = []
        self._rate, self._wire = bytes_per_second, asyncio.Lock()

    async def request(self, message: m.TakeBytes, seconds: float) -> m.Done:
        self.sizes.append(len(message.data))
        async with self._wire:
            await asyncio.sleep(len(message.data) / self._rate)
        return m.Done()


@pytest.mark.parametrize("rate", [200e3, 4e6, 40e6])
def test_the_rate_of_a_link_is_found(rate: float) -> None:

    async def run() -> tuple[float, list[int]]:
        link: Any = SlowLink(rate)
        return await sending_rate(link, 0.6), link.sizes

    found, sizes = run_in_virtual_time(run())
    assert found == pytest.approx(rate, rel=0.01)
    assert sizes[0] == RATE_FIRST_BYTES
    assert (max(sizes) == CHUNK_BYTES) == (rate > 1e6), "on a slow link pieces stay small"
    assert max(sizes) / rate < 0.5, "heartbeats wait behind a piece"


def test_a_lost_link_has_no_rate() -> None:
    class LostLink:
        async def request(self, message: m.TakeBytes, seconds: float) -> m.Done:
            raise LinkLostError("the link is lost")

    async def run() -> None:
        link: Any = LostLink()
        with pytest.raises(LinkLostError):
            await sending_rate(link, 1.0)

    asyncio.run(run())
