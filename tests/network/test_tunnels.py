"""Tunnels: every byte arrives, in order; a slow reader fills nobody's memory; both ends notice a cut at once."""

import asyncio
import contextlib
import os
import socket
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
from cellmind_agent.network.stream import Stream
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import TUNNEL_WINDOW_BYTES
from cellmind_agent.trust.identity import new_curve_keys
from cellmind_agent.trust.permissions import Caller

RUN = RunId("run-0101-abcdef")
ONE, TWO, OUTSIDER = DeviceId("1" * 32), DeviceId("2" * 32), DeviceId("3" * 32)


class Device:
    """A port, and tunnels to the other device. Stands in for Peers; `dials` is false for a device that cannot dial."""

    def __init__(self, device: DeviceId, other: DeviceId, dials: bool = True) -> None:
        self.device, self.other, self.dials = device, other, dials
        self.keys, self.context = new_curve_keys(), new_context()
        self.tunnels = Tunnels(self)  # type: ignore[arg-type]
        self.reception = Reception(self.recognise, {**self.tunnels.handlers(), m.Ping: self.ping})
        self.listener = Listener(self.keys, lambda key: self.is_open, self.reception.hear)
        self.is_open = False
        self.there: Device | None = None
        self.control: Link | None = None
        self.connections: list[Connection] = []

    def recognise(self, channel: Channel) -> Caller:
        return Caller(kind="member", curve_key=channel.curve_key, device=self.other, host=channel.host, channel=channel)

    async def ping(self, request: m.Ping, caller: Caller) -> m.Done:
        return m.Done()

    async def open(self) -> None:
        await self.listener.open("127.0.0.1", 0)
        self.is_open = True

    async def dial(self) -> Link:
        assert self.there
        address = Address(host="127.0.0.1", port=self.there.listener.port)
        connection = Connection(self.context, self.keys, address, self.there.keys.public, self.reception.hear)
        self.connections.append(connection)
        await connection.open(5)
        return Link(connection)

    # what tunnels use of Peers
    async def dial_again(self, device: DeviceId) -> Link | None:
        return await self.dial() if self.dials else None

    def link(self, device: DeviceId) -> Link:
        assert self.control
        return self.control

    def name(self, device: DeviceId) -> str:
        return device

    async def close(self) -> None:
        await self.tunnels.close()
        await self.reception.drop(lambda key: True)
        for connection in self.connections:
            connection.cut()
        await self.listener.close()
        self.context.destroy(linger=0)


@contextlib.asynccontextmanager
async def two_devices(one_dials: bool = True) -> AsyncIterator[tuple[Device, Device]]:
    """Two devices whose tunnels have begun; with `one_dials` false only the second can dial."""
    one, two = Device(ONE, TWO, one_dials), Device(TWO, ONE)
    one.there, two.there = two, one
    try:
        for device in (one, two):
            await device.open()
            device.tunnels.begin(RUN, 1, frozenset({ONE, TWO}))
        called: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

        async def note(request: m.Ping, caller: Caller) -> m.Done:
            assert isinstance(caller.channel, Channel)
            if not called.done():
                called.set_result(caller.channel)
            return m.Done()

        one.reception.handlers[m.Ping] = note
        two.control = await two.dial()
        await two.control.request(m.Ping())
        one.control = Link(await called)
        yield one, two
    finally:
        await one.close()
        await two.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")  # after the other side's end: half-close
    writer.close()


async def exposed(device: Device, serve: Callable[..., Awaitable[None]]) -> asyncio.Server:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    device.tunnels.expose(RUN, 1, server.sockets[0].getsockname()[1])
    return server


async def through(one: Device) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = await one.tunnels.forward(RUN, 1, TWO)
    return await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("one_dials", [True, False])
def test_every_byte_arrives_also_after_a_half_close(one_dials: bool) -> None:
    async def play() -> None:
        async with two_devices(one_dials) as (one, two), await exposed(two, echo):
            reader, writer = await through(one)
            sent = os.urandom(3 * TUNNEL_WINDOW_BYTES + 12345)

            async def send() -> None:
                for start in range(0, len(sent), 100_001):
                    writer.write(sent[start : start + 100_001])
                    await writer.drain()
                writer.write_eof()

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(send())
                heard = await reader.read(-1)
            assert heard == sent + b"bye"
            assert one.tunnels.sent_bytes() == len(sent)
            assert one.tunnels.carried_bytes() == {TWO: 2 * len(sent) + 3}
            writer.close()

    asyncio.run(play())


def test_a_reader_that_stops_delays_only_its_own_stream_and_fills_no_memory() -> None:
    async def play() -> None:
        asleep = asyncio.Event()

        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asleep.wait()
            writer.close()

        async with two_devices() as (one, two), await exposed(two, never):
            loop = asyncio.get_running_loop()
            port = await one.tunnels.forward(RUN, 1, TWO)
            with socket.create_connection(("127.0.0.1", port)) as line:
                line.setblocking(False)
                before, taken, block = psutil.Process().memory_info().rss, 0, bytes(1 << 20)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(3):
                        while taken < 300 << 20:
                            await loop.sock_sendall(line, block)
                            taken += len(block)
                assert taken < 100 << 20
                assert psutil.Process().memory_info().rss - before < 8 * TUNNEL_WINDOW_BYTES
                assert two.control
                assert await two.control.request(m.Ping(), seconds=1.0) == m.Done()
            asleep.set()

    asyncio.run(play())


def test_both_ends_notice_a_cut_at_once() -> None:
    async def play() -> None:
        async with two_devices() as (one, two), await exposed(two, echo):
            reader, writer = await through(one)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            two.tunnels.cut(ONE)
            async with asyncio.timeout(1):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            assert one.tunnels._streams == two.tunnels._streams == {}

    asyncio.run(play())


def test_both_ends_notice_a_lost_connection() -> None:
    async def play() -> None:
        async with two_devices() as (one, two), await exposed(two, echo):
            reader, writer = await through(one)
            writer.write(b"x")
            await reader.readexactly(1)
            two.listener.cut(lambda key: True)
            async with asyncio.timeout(1):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()

    asyncio.run(play())


def test_a_channel_that_is_full_for_a_while_loses_nothing() -> None:
    class Full(Channel):
        """Full until `takes` is set."""

        def __init__(self) -> None:
            super().__init__(b"", "", "full")
            self.takes = False
            self.sent: list[tuple[bytes, bytes]] = []

        def try_send(self, frames: Any) -> bool:
            if self.takes:
                self.sent.append((bytes(frames[0]), bytes(frames[1])))
            return self.takes

        def cut(self) -> None:
            self.mark_lost()

    async def play() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        channel, ended = Full(), asyncio.Event()
        stream = Stream(near, channel, ended.set)
        for number in range(20):
            far.sendall(bytes([number]) * 10)
            await asyncio.sleep(0.001)
        far.close()
        await asyncio.sleep(0.05)
        channel.takes = True
        await asyncio.sleep(0.1)
        assert b"".join(body for kind, body in channel.sent if kind == b"D") == b"".join(
            bytes([number]) * 10 for number in range(20)
        )
        assert channel.sent[-1] == (b"E", b"")
        assert not ended.is_set()
        stream.cut()
        assert ended.is_set()

    asyncio.run(play())


def test_a_stream_beyond_its_credit_is_cut() -> None:
    class Greedy(Channel):
        """A channel whose other end ignores its credit."""

        def __init__(self) -> None:
            super().__init__(b"", "", "greedy")
            self.sent: list[bytes] = []

        def try_send(self, frames: Any) -> bool:
            self.sent.append(bytes(frames[0]))
            return True

        def cut(self) -> None:
            self.mark_lost()

    async def play() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        channel, ended = Greedy(), asyncio.Event()
        Stream(near, channel, ended.set)
        with far:
            for _ in range(200):
                if channel.carries:
                    channel.carries([memoryview(b"D"), memoryview(bytes(1 << 18))])
            assert ended.is_set()
            assert channel.sent[-1] == b"X"

    asyncio.run(play())


@pytest.mark.parametrize(
    "frames", [[b"?", b""], [b"", b""], [b"C", b"\xff" * 4], [b"C", b"abc"], [b"E", b""], [b"X", b""]]
)
def test_no_frame_crashes_anything(frames: list[bytes]) -> None:
    async def play() -> None:
        async with two_devices() as (one, two), await exposed(two, echo):
            _, writer = await through(one)
            writer.write(b"x")
            await asyncio.sleep(0.1)
            one.connections[-1].try_send(frames)
            await asyncio.sleep(0.1)
            assert two.control
            assert await two.control.request(m.Ping(), seconds=1.0) == m.Done()
            writer.close()

    asyncio.run(play())


def test_tunnels_are_for_members_of_the_run_only() -> None:
    async def play() -> None:
        async with two_devices() as (one, two), await exposed(two, echo):
            with pytest.raises(NotAllowedError):
                await one.tunnels.forward(RUN, 1, OUTSIDER)
            with pytest.raises(UnknownNameError):
                await one.tunnels.forward(RUN, 2, TWO)
            two.other = OUTSIDER
            for request in (m.OpenTunnel(run=RUN, term=1), m.OpenTunnel(run=RUN, term=1, number=9)):
                link = await one.dial()
                with pytest.raises(NotAllowedError):
                    await link.request(request)

    asyncio.run(play())


def test_a_forwarder_takes_the_first_free_port_of_those_named() -> None:
    async def play() -> None:
        async with two_devices() as (one, _):
            with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as closing:
                taken, free = other.getsockname()[1], closing.getsockname()[1]
                closing.close()
                assert await one.tunnels.forward(RUN, 1, TWO, [taken, free]) == free
                with pytest.raises(CellmindError, match="no loopback port"):
                    await one.tunnels.forward(RUN, 1, TWO, [taken])

    asyncio.run(play())
