"""Tunnels: what carries a trainer's connections to the trainers of other devices. Loopback at both ends, CURVE between.

A trainer `expose`s its own port and asks for a forwarder to each rank below its own; what connects to a forwarder comes
out at the exposed port of that rank's trainer. Each stream has a connection of its own, so it never holds up messages.
The connection is dialled by this side, or, where only the other side can dial, by the other at our word.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.stream import Stream
from cellmind_agent.network.wire import Channel, Connection
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, TimedOutError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import DIAL_SECONDS
from cellmind_agent.trust.permissions import Caller

_LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Crossing:
    """One run's tunnels at this device."""

    members: frozenset[DeviceId]
    exposed: int | None = None
    forwarders: set[asyncio.Task[None]] = field(default_factory=set)


class Tunnels:
    """Every stream of this device."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._crossings: dict[tuple[RunId, int], _Crossing] = {}
        self._streams: dict[Stream, DeviceId] = {}
        self._numbers = itertools.count(1)
        self._awaited: dict[int, tuple[DeviceId, asyncio.Future[Channel]]] = {}
        self._carried: Counter[DeviceId] = Counter()  # bytes both ways, of streams that are over
        self._sent = 0  # bytes out, of streams that are over

    def handlers(self) -> dict[type, Handler]:
        return {m.OpenTunnel: self._open, m.DialTunnel: self._dial}

    # -- a run's trainer ---------------------------------------------------------------------------------------------

    def begin(self, run: RunId, term: int, members: frozenset[DeviceId]) -> None:
        self._crossings[run, term] = _Crossing(members=members)

    def expose(self, run: RunId, term: int, port: int) -> None:
        """Our trainer listens on this loopback port."""
        self._crossing(run, term).exposed = port

    async def forward(self, run: RunId, term: int, device: DeviceId, ports: Sequence[int] = ()) -> int:
        """A loopback port that leads to the exposed port of this device's trainer; it takes one connection.

        It is the first free one of `ports`, or of the system's choice when there are none given. Raises CellmindError.
        """
        crossing = self._crossing(run, term)
        if device not in crossing.members:
            raise NotAllowedError("tunnels lead to members of the run only")
        listener = _listen(ports)
        task = asyncio.create_task(self._serve_forwarder(listener, run, term, device), name=f"forwarder {run}")
        crossing.forwarders.add(task)
        task.add_done_callback(crossing.forwarders.discard)
        task.add_done_callback(lambda _: listener.close())
        return int(listener.getsockname()[1])

    def end(self, run: RunId, term: int) -> None:
        """Our trainer has ended. Its streams see that by themselves, and drain."""
        crossing = self._crossings.pop((run, term), None)
        for task in crossing.forwarders if crossing else ():
            task.cancel()

    # -- for everybody -----------------------------------------------------------------------------------------------

    def cut(self, device: DeviceId) -> None:
        """It is gone, or out: whoever waits for its bytes must fail now."""
        for stream in [stream for stream, end in self._streams.items() if end == device]:
            stream.cut()

    def carried_bytes(self) -> dict[DeviceId, int]:
        """Bytes of streams to and from each device since this agent started."""
        total = Counter(self._carried)
        for stream, device in self._streams.items():
            total[device] += stream.sent_bytes + stream.heard_bytes
        return dict(total)

    def sent_bytes(self) -> int:
        """Bytes that have gone out in streams since this agent started."""
        return self._sent + sum(stream.sent_bytes for stream in self._streams)

    async def close(self) -> None:
        for key in list(self._crossings):
            self.end(*key)
        for stream in list(self._streams):
            stream.cut()

    # -- the side that asks ------------------------------------------------------------------------------------------

    async def _serve_forwarder(self, listener: socket.socket, run: RunId, term: int, device: DeviceId) -> None:
        local, _ = await asyncio.get_running_loop().sock_accept(listener)
        listener.close()
        local.setblocking(False)
        try:
            channel = await self._reach(run, term, device)
        except BaseException as error:
            local.close()
            if not isinstance(error, CellmindError):
                raise
            _log.warning("no tunnel to %s: %s", self._peers.name(device), error)
            return
        self._join(local, channel, device)

    async def _reach(self, run: RunId, term: int, device: DeviceId) -> Channel:
        """A connection whose other end the device has tied to its trainer. Raises CellmindError."""
        link = await self._peers.dial_again(device)
        if link is None:
            link = await self._be_dialled(run, term, device)
        try:
            await link.request(m.OpenTunnel(run=run, term=term))
        except BaseException:
            link.channel.cut()
            raise
        return link.channel

    async def _be_dialled(self, run: RunId, term: int, device: DeviceId) -> Link:
        number = next(self._numbers)
        awaited: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._awaited[number] = (device, awaited)
        try:
            await self._peers.link(device).request(m.DialTunnel(run=run, term=term, number=number))
            async with asyncio.timeout(DIAL_SECONDS):
                return Link(await awaited)
        except TimeoutError as error:
            raise TimedOutError(f"{self._peers.name(device)} did not dial") from error
        finally:
            del self._awaited[number]

    # -- the side that is asked --------------------------------------------------------------------------------------

    async def _open(self, request: m.OpenTunnel, caller: Caller) -> m.Done:
        """This connection carries a stream to our trainer, or is the one that we asked to be dialled."""
        assert isinstance(caller.channel, Channel)
        assert caller.device is not None
        channel = caller.channel
        if request.number is not None:
            device, awaited = self._awaited.get(request.number, (None, None))
            if device != caller.device or awaited is None or awaited.done():
                raise NotAllowedError("nobody here waits for that connection")
            awaited.set_result(channel)
            return m.Done()
        crossing = self._crossing(request.run, request.term)
        if caller.device not in crossing.members:
            raise NotAllowedError("only members of the run have tunnels in it")
        if crossing.exposed is None or channel.carries is not None:
            raise UnknownNameError("no trainer listens here yet", "cellmindctl runs")
        local = socket.socket()
        local.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(local, (_LOOPBACK, crossing.exposed))
        except OSError as error:
            local.close()
            raise UnknownNameError(f"the trainer here takes no connection ({error.strerror})") from error
        self._join(local, channel, caller.device)
        return m.Done()

    async def _dial(self, request: m.DialTunnel, caller: Caller) -> m.Done:
        """The asker cannot dial us, and we can dial it."""
        assert caller.device is not None
        if caller.device not in self._crossing(request.run, request.term).members:
            raise NotAllowedError("only members of the run have tunnels in it")
        link = await self._peers.dial_again(caller.device)
        if link is None:
            raise UnknownNameError("neither of the two devices can dial the other", "cellmindctl doctor")
        try:
            await link.request(m.OpenTunnel(run=request.run, term=request.term, number=request.number))
        except BaseException:
            link.channel.cut()
            raise
        return m.Done()

    # -- both --------------------------------------------------------------------------------------------------------

    def _join(self, local: socket.socket, channel: Channel, device: DeviceId) -> None:
        def ended() -> None:
            self._carried[self._streams.pop(stream)] += stream.sent_bytes + stream.heard_bytes
            self._sent += stream.sent_bytes
            if isinstance(channel, Connection):
                channel.close()

        stream = Stream(local, channel, ended)
        self._streams[stream] = device

    def _crossing(self, run: RunId, term: int) -> _Crossing:
        if (run, term) not in self._crossings:
            raise UnknownNameError(f"this device takes no part in term {term} of {run!r:.60}", "cellmindctl runs")
        return self._crossings[run, term]


def _listen(ports: Sequence[int]) -> socket.socket:
    """Listens on the first free one of these loopback ports, or on any when there are none. Raises CellmindError."""
    for port in ports or [0]:
        listener = socket.socket()
        listener.setblocking(False)
        with contextlib.suppress(OSError):
            listener.bind((_LOOPBACK, port))
            listener.listen(1)
            return listener
        listener.close()
    raise CellmindError("no loopback port is free for a tunnel", "end some programs, and try again")
