"""The one port: only members get in, and no bytes crash the agent (I9)."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psutil
import pytest

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.connection import Connection
from cellmind_agent.network.curve import new_context
from cellmind_agent.network.link import Link
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.reception import Reception
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.codec import Envelope, encode
from cellmind_agent.protocol.errors import (
    CellmindError,
    LinkLostError,
    NotAllowedError,
    NotPairedError,
    TimedOutError,
    UnreachableError,
)
from cellmind_agent.trust.identity import CurveKeys, new_curve_keys
from cellmind_agent.trust.permissions import Caller


class Server:
    """A listener with a few handlers, and a set of keys that are admitted."""

    def __init__(self) -> None:
        self.keys, self.member = new_curve_keys(), new_curve_keys()
        self.admitted = {self.member.public}
        self.members = {self.member.public}
        self.cancelled = asyncio.Event()
        handlers: dict[type, Any] = {m.Ping: self.ping, m.ReadLog: self.stream, m.GetKeyring: self.fail}
        self.reception = Reception(self.recognise, handlers)
        self.listener = Listener(self.keys, lambda key: key in self.admitted, self.reception.hear)
        self.context = new_context()
        self.links: list[Link] = []

    def recognise(self, channel: Channel) -> Caller:
        kind = "member" if channel.curve_key in self.members else "stranger"
        return Caller(kind=kind, curve_key=channel.curve_key, device=None, host=channel.host, channel=channel)

    async def ping(self, request: m.Ping, caller: Caller) -> m.Done:
        return m.Done()

    async def fail(self, request: m.GetKeyring, caller: Caller) -> m.Keyring:
        raise RuntimeError("a bug")

    async def stream(self, request: m.ReadLog, caller: Caller) -> AsyncIterator[m.LogLines]:
        try:
            for number in range(10_000):
                yield m.LogLines(lines=(str(number),))
                await asyncio.sleep(0.01)
        finally:
            self.cancelled.set()

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.listener.port)

    async def link(self, keys: CurveKeys | None = None, server_key: bytes | None = None) -> Link:
        hear = Reception(self.recognise).hear
        connection = Connection(self.context, keys or self.member, self.address, server_key or self.keys.public, hear)
        try:
            await connection.open(5.0)
        except BaseException:
            connection.close()
            raise
        self.links.append(Link(connection))
        return self.links[-1]


def ignore(channel: Channel, frames: object) -> None:
    pass


def with_server(play: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server()
        await server.listener.open("127.0.0.1", 0)
        serving = asyncio.create_task(server.listener.serve())
        try:
            await play(server)
            assert not serving.done()
        finally:
            for link in server.links:
                link.channel.close()
            await server.reception.drop(lambda key: True)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await server.listener.close()
            server.context.destroy(linger=0)

    asyncio.run(run())


def test_a_member_is_answered() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        assert await link.request(m.Ping()) == m.Done()

    with_server(play)


def test_an_unknown_key_does_not_get_in() -> None:
    async def play(server: Server) -> None:
        with pytest.raises(NotPairedError):
            await server.link(new_curve_keys())

    with_server(play)


def test_an_agent_with_another_key_is_refused() -> None:
    async def play(server: Server) -> None:
        with pytest.raises(UnreachableError):
            await server.link(server_key=new_curve_keys().public)

    with_server(play)


def test_a_closed_port_is_noticed_at_once() -> None:
    async def play(server: Server) -> None:
        connection = Connection(
            server.context, server.member, Address(host="127.0.0.1", port=1), server.keys.public, ignore
        )
        with pytest.raises(UnreachableError, match="nobody listens"):
            await connection.open(5.0)
        connection.close()

    with_server(play)


def test_a_gate_that_lets_strangers_in_never_opens_the_port() -> None:
    async def play() -> None:
        listener = Listener(new_curve_keys(), lambda key: True, ignore)
        with pytest.raises(CellmindError, match="lets strangers in"):
            await listener.open("127.0.0.1", 0)
        assert listener.port == 0
        await listener.close()

    asyncio.run(play())


def test_when_the_gate_dies_nothing_is_served() -> None:
    async def play() -> None:
        listener = Listener(new_curve_keys(), lambda key: False, ignore)
        await listener.open("127.0.0.1", 0)
        assert listener._gate._task
        listener._gate._task.cancel()
        with pytest.raises(CellmindError, match="gate has ended"):
            await listener.serve()
        await listener.close()

    asyncio.run(play())


def test_a_removed_key_is_refused_on_its_live_connection() -> None:
    """I5."""

    async def play(server: Server) -> None:
        link = await server.link()
        await link.request(m.Ping())
        server.members.clear()
        with pytest.raises(NotPairedError):
            await link.request(m.Ping())

    with_server(play)


def test_only_a_removed_key_is_cut_at_once() -> None:
    async def play(server: Server) -> None:
        other = new_curve_keys()
        server.admitted.add(other.public)
        removed, stays = await server.link(other), await server.link()
        for link in (removed, stays):
            await link.request(m.Ping()) if link is stays else await link.channel.send(b"first word")
        server.admitted.discard(other.public)
        server.listener.cut(lambda key: key not in server.admitted)
        async with asyncio.timeout(1):
            await removed.channel.lost()
        assert await stays.request(m.Ping()) == m.Done()
        with pytest.raises(NotPairedError):
            await server.link(other)

    with_server(play)


def test_a_removed_key_that_has_sent_nothing_yet_is_cut_too() -> None:
    async def play(server: Server) -> None:
        other = new_curve_keys()
        server.admitted.add(other.public)
        silent, late = await server.link(other), await server.link(other)
        server.admitted.discard(other.public)
        server.listener.cut(lambda key: key not in server.admitted)
        await late.channel.send(b"first word")
        async with asyncio.timeout(1):
            await silent.channel.lost()
            await late.channel.lost()

    with_server(play)


def test_the_accepting_side_may_send_requests_over_the_same_connection() -> None:
    """So a device that can only dial out is reached too."""

    async def play(server: Server) -> None:
        async def answer(request: m.ListModels, caller: Caller) -> m.ModelList:
            return m.ModelList(models=())

        called: list[Channel] = []

        async def ask_back(request: m.GetKeyring, caller: Caller) -> m.Keyring:
            assert isinstance(caller.channel, Channel)
            called.append(caller.channel)
            await Link(caller.channel).request(m.ListModels())
            return m.Keyring(entries=(b"asked",))

        server.reception.handlers[m.GetKeyring] = ask_back
        reception = Reception(
            lambda c: Caller(kind="member", curve_key=c.curve_key, device=None, host=c.host),
            {m.ListModels: answer},
        )
        connection = Connection(server.context, server.member, server.address, server.keys.public, reception.hear)
        await connection.open(5)
        link = Link(connection)
        server.links.append(link)
        assert (await link.request(m.GetKeyring())).entries == (b"asked",)
        connection.close()
        async with asyncio.timeout(1):
            await called[0].lost()

    with_server(play)


def test_closing_a_stream_ends_it_at_the_other_side() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        stream = link.stream(m.ReadLog(tail=0))
        assert await anext(stream) == m.LogLines(lines=("0",))
        await stream.aclose()
        async with asyncio.timeout(5):
            await server.cancelled.wait()

    with_server(play)


def test_a_lost_connection_fails_pending_requests_at_once() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        stream = link.stream(m.ReadLog(tail=0))
        await anext(stream)
        server.listener.cut(lambda key: True)

        async def read_on() -> None:
            async for _ in stream:
                pass

        with pytest.raises(LinkLostError):
            await asyncio.wait_for(read_on(), 5)
        with pytest.raises(LinkLostError):
            await link.request(m.Ping())

    with_server(play)


def test_a_bug_in_a_handler_is_an_error_for_the_caller_and_the_agent_continues() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        with pytest.raises(CellmindError, match="RuntimeError in the agent"):
            await link.request(m.GetKeyring())
        await link.request(m.Ping())

    with_server(play)


def test_a_request_that_members_may_not_send_is_refused() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        with pytest.raises(NotAllowedError):
            await link.request(m.JoinCell(code="41-amber-falcon-river"))

    with_server(play)


def test_garbage_from_a_member_is_dropped_and_the_agent_continues() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        for data in (
            b"",
            b"\xff" * 1000,
            os.urandom(5000),
            encode(Envelope(kind="answer", correlation=1, message=m.Done())),
        ):
            await link.channel.send(data)
        await link.request(m.Ping())

    with_server(play)


def test_another_protocol_version_is_refused_by_its_number() -> None:
    import msgpack

    async def play(server: Server) -> None:
        link = await server.link()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        link.channel.answers = queue.put_nowait
        await link.channel.send(msgpack.packb([99, 0, 77, "Ping", {}]))
        async with asyncio.timeout(5):
            refused = (await queue.get()).message
        assert (refused.code, "protocol 99" in refused.message) == ("version", True)

    with_server(play)


def test_an_oversized_frame_ends_its_connection_and_fills_no_memory() -> None:
    async def play(server: Server) -> None:
        link = await server.link()
        before = psutil.Process().memory_info().rss
        await link.channel.send(bytes(64 << 20))
        async with asyncio.timeout(10):
            await link.channel.lost()
        assert psutil.Process().memory_info().rss - before < 100 << 20
        await (await server.link()).request(m.Ping())

    with_server(play)


@pytest.mark.parametrize("bytes_sent", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, bytes(range(256)) * 16])
def test_raw_garbage_on_the_port_changes_nothing(bytes_sent: bytes) -> None:
    async def play(server: Server) -> None:
        with socket.create_connection(("127.0.0.1", server.listener.port)) as raw:
            raw.sendall(bytes_sent)
            await (await server.link()).request(m.Ping())

    with_server(play)


def test_an_unauthenticated_gigabyte_is_not_held() -> None:
    """A CURVE command that announces a gigabyte, from a client without a key."""

    async def play(server: Server) -> None:
        before = psutil.Process().memory_info().rss
        with socket.create_connection(("127.0.0.1", server.listener.port)) as raw:
            raw.setblocking(False)
            loop = asyncio.get_running_loop()
            greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
            await loop.sock_sendall(raw, greeting)
            await asyncio.sleep(0.2)
            try:
                await loop.sock_sendall(raw, b"\x06" + struct.pack(">Q", 1 << 30))
                for _ in range(64):
                    await loop.sock_sendall(raw, bytes(1 << 20))
            except OSError:
                pass
        assert psutil.Process().memory_info().rss - before < 32 << 20
        await (await server.link()).request(m.Ping())

    with_server(play)


def test_a_flood_of_requests_is_cut_and_others_are_served() -> None:
    async def play(server: Server) -> None:
        other = new_curve_keys()
        server.admitted.add(other.public)
        server.members.add(other.public)
        flooder, quiet = await server.link(other), await server.link()
        for number in range(2000):
            await flooder.channel.send(
                encode(Envelope(kind="request", correlation=number + 1, message=m.ReadLog(tail=0)))
            )
        assert await quiet.request(m.Ping(), seconds=5.0) == m.Done()
        assert len(server.reception._tasks) <= 600

    with_server(play)


def test_a_late_answer_is_a_time_out() -> None:
    async def play(server: Server) -> None:
        async def never(request: m.ListModels, caller: Caller) -> m.ModelList:
            await asyncio.sleep(60)
            raise AssertionError

        server.reception.handlers[m.ListModels] = never
        link = await server.link()
        with pytest.raises(TimedOutError):
            await link.request(m.ListModels(), seconds=0.2)

    with_server(play)
