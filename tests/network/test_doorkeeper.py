"""A flood of strangers is kept out by the kernel; what stands, stands; and afterwards everybody may come again."""

import asyncio
import socket
import sys

import pytest

from cellmind_agent.network import doorkeeper
from cellmind_agent.network.doorkeeper import Doorkeeper, drop_all, drop_from
from cellmind_agent.protocol.limits import STRANGERS_AT_ONCE
from cellmind_agent.protocol.messages import Done, Ping
from tests.network.test_wire import Server, with_server

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="socket filters are Linux's")


async def comes_through(port: int, source: str = "127.0.0.1") -> bool:
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


def test_who_floods_is_kept_out_for_a_while_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorkeeper, "BAN_SECONDS", 1.0)

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            keeper, port = Doorkeeper(listener.fileno()), listener.getsockname()[1]
            for _ in range(STRANGERS_AT_ONCE + 5):
                keeper.came("127.0.0.2")
            assert not await comes_through(port, "127.0.0.2")
            assert await comes_through(port, "127.0.0.1")
            await asyncio.sleep(1.0)
            assert await comes_through(port, "127.0.0.2")
            keeper.close()

    asyncio.run(play())


def test_those_who_prove_a_key_are_no_flood() -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            keeper = Doorkeeper(listener.fileno())
            for _ in range(5 * STRANGERS_AT_ONCE):
                keeper.came("127.0.0.2")
                keeper.was_known("127.0.0.2")
            assert await comes_through(listener.getsockname()[1], "127.0.0.2")
            keeper.close()

    asyncio.run(play())


def test_a_flood_nobody_was_seen_in_shuts_the_port_for_a_moment_and_links_stand() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        await link.request(Ping())
        keeper = server.listener._doorkeeper
        assert keeper
        for _ in range(STRANGERS_AT_ONCE + 5):
            keeper.came(None)
        assert await link.request(Ping(), seconds=1.0) == Done()
        assert not await comes_through(server.listener.port)
        await asyncio.sleep(1.2)
        assert await (await server.link()).request(Ping()) == Done()

    with_server(play)


MANY = [f"10.0.0.{number}" for number in range(99)]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.2"], ["fe80::1", "127.0.0.2"], ["127.0.0.2", *MANY], [*MANY, "127.0.0.2"]]
)
def test_a_filter_drops_its_addresses_wherever_they_stand_in_it(addresses: list[str]) -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=50) as listener:
            keeper, port = Doorkeeper(listener.fileno()), listener.getsockname()[1]
            keeper._attach(drop_from(addresses))
            assert [await comes_through(port, source) for source in ("127.0.0.2", "127.0.0.3")] == [False, True]
            keeper._attach(drop_all())
            assert not await comes_through(port, "127.0.0.3")
            keeper.close()

    asyncio.run(play())
