"""The kernel drops a flood of strangers; open connections are not affected; later everybody can connect again."""

import asyncio
import socket
import sys

import pytest

from cellmind_agent.network import flood_guard
from cellmind_agent.network.flood_guard import FloodGuard, drop_all, drop_from
from cellmind_agent.protocol.limits import STRANGERS_AT_ONCE
from cellmind_agent.protocol.messages import Done, Ping
from tests.network.test_listener import Server, with_server

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="socket filters are Linux's")


async def can_connect(port: int, source: str = "127.0.0.1") -> bool:
    loop = asyncio.get_running_loop()
    with socket.socket() as line:
        line.setblocking(False)
        line.bind((source, 0))
        try:
            async with asyncio.timeout(0.4):
                await loop.sock_connect(line, ("127.0.0.1", port))
        except TimeoutError:
            return False
    return True


def test_only_the_flooding_address_is_dropped_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood_guard, "BAN_SECONDS", 1.0)

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            guard, port = FloodGuard(listener.fileno()), listener.getsockname()[1]
            for _ in range(STRANGERS_AT_ONCE + 5):
                guard.count("127.0.0.2")
            assert not await can_connect(port, "127.0.0.2")
            assert await can_connect(port, "127.0.0.1")
            await asyncio.sleep(1.0)
            assert await can_connect(port, "127.0.0.2")
            guard.close()

    asyncio.run(play())


def test_connections_with_an_admitted_key_are_no_flood() -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            guard = FloodGuard(listener.fileno())
            for _ in range(5 * STRANGERS_AT_ONCE):
                guard.count("127.0.0.2")
                guard.discount("127.0.0.2")
            assert await can_connect(listener.getsockname()[1], "127.0.0.2")
            guard.close()

    asyncio.run(play())


def test_a_flood_of_unknown_addresses_shuts_the_port_for_a_moment_and_links_stay() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        await link.request(Ping())
        guard = server.listener._flood_guard
        assert guard
        for _ in range(STRANGERS_AT_ONCE + 5):
            guard.count(None)
        assert await link.request(Ping(), seconds=1.0) == Done()
        assert not await can_connect(server.listener.port)
        await asyncio.sleep(1.2)
        assert await (await server.link()).request(Ping()) == Done()

    with_server(play)


MANY = [f"10.0.0.{number}" for number in range(99)]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.2"], ["fe80::1", "127.0.0.2"], ["127.0.0.2", *MANY], [*MANY, "127.0.0.2"]]
)
def test_a_filter_drops_each_of_its_addresses(addresses: list[str]) -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            guard, port = FloodGuard(listener.fileno()), listener.getsockname()[1]
            guard._attach(drop_from(addresses))
            assert [await can_connect(port, source) for source in ("127.0.0.2", "127.0.0.3")] == [False, True]
            guard._attach(drop_all())
            assert not await can_connect(port, "127.0.0.3")
            guard.close()

    asyncio.run(play())
