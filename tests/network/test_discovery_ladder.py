"""The search beyond multicast: only while a member is missing, and less and less often."""

import asyncio
from collections.abc import Iterable
from itertools import pairwise

import pytest

from cellmind_agent.network import discovery_ladder
from cellmind_agent.network.discovery_ladder import widen_discovery


class Peers:
    """One member, at 10.0.0.2, that is missing while the event is set."""

    def __init__(self) -> None:
        self.missing = asyncio.Event()

    @property
    def has_missing(self) -> bool:
        return self.missing.is_set()

    async def wait_for_missing(self) -> None:
        await self.missing.wait()

    def missing_hosts(self) -> list[str]:
        return ["10.0.0.2"]


class Discovery:
    """Notes when it is queried, and for which hosts."""

    def __init__(self) -> None:
        self.queries: asyncio.Queue[tuple[float, list[str]]] = asyncio.Queue()

    async def query(self, hosts: Iterable[str]) -> None:
        self.queries.put_nowait((asyncio.get_running_loop().time(), list(hosts)))


def test_missing_members_are_searched_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery_ladder, "WIDEN_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(discovery_ladder, "WIDEN_LAST_SECONDS", 0.2)

    async def play() -> None:
        peers, discovery = Peers(), Discovery()
        widening = asyncio.create_task(widen_discovery(peers, discovery))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert discovery.queries.empty()
        started = asyncio.get_running_loop().time()
        peers.missing.set()
        async with asyncio.timeout(10):
            queries = [await discovery.queries.get() for _ in range(4)]
        peers.missing.clear()
        assert [hosts for _, hosts in queries] == [["10.0.0.2"]] * 4
        pauses = [after - before for before, after in pairwise([started, *(time for time, _ in queries)])]
        assert all(pause >= least for pause, least in zip(pauses, (0.049, 0.099, 0.199, 0.199), strict=True))
        await asyncio.sleep(0.5)
        assert discovery.queries.empty()
        widening.cancel()
        await asyncio.wait({widening})

    asyncio.run(play())
