"""Tunnels carry a trainer's connections to the trainers of other devices: loopback at both ends, CURVE between.

A trainer exposes its own port and requests a forwarder to each rank below its own. A connection to a forwarder arrives
at the exposed port of that rank's trainer. Each stream has its own connection, so it never delays messages. This side
dials it; where only the other side can dial, that side dials at our request.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.connection import Connection
from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.stream import Stream
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, TimedOutError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import DIAL_SECONDS
from cellmind_agent.trust.permissions import Caller

_LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _RunTunnels:
    """The tunnels of one run at this device."""

    members: frozenset[DeviceId]
    exposed_port: int | None = None
    forwarders: set[asyncio.Task[None]] = field(default_factory=set)


class Tunnels:
    """Every tunnel of this device."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._runs: dict[tuple[RunId, int], _RunTunnels] = {}
        self._streams: dict[Stream, tuple[DeviceId, RunId, int]] = {}  # the other end, run and term of each
        self._numbers = itertools.count(1)
        self._expected: dict[int, tuple[DeviceId, asyncio.Future[Channel]]] = {}
        self._carried: Counter[DeviceId] = Counter()  # bytes in both directions, of ended streams
        self._sent = 0  # bytes sent, of ended streams

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.OpenTunnel: self._open, m.DialTunnel: self._dial}

    # -- a run's trainer ---------------------------------------------------------------------------------------------

    def begin(self, run: RunId, term: int, members: frozenset[DeviceId]) -> None:
        """Allow tunnels between the members of this run, from now to `end`."""
        self._runs[run, term] = _RunTunnels(members=members)

    def expose(self, run: RunId, term: int, port: int) -> None:
        """The trainer here listens on this loopback port. Raises UnknownNameError when no such run is here."""
        self._run_tunnels(run, term).exposed_port = port

    async def forward(self, run: RunId, term: int, device: DeviceId, ports: Sequence[int] = ()) -> int:
        """A loopback port that leads to the exposed port of that device's trainer; it takes one connection.

        It is the first free one of `ports`, or the system's choice when none are given. Raises UnknownNameError (no
        such run here), NotAllowedError (no member of the run), CellmindError (no port is free).
        """
        tunnels = self._run_tunnels(run, term)
        if device not in tunnels.members:
            raise NotAllowedError("tunnels lead to members of the run only")
        listener = _listen(ports)
        task = asyncio.create_task(self._serve_forwarder(listener, run, term, device), name=f"forwarder {run}")
        tunnels.forwarders.add(task)
        task.add_done_callback(tunnels.forwarders.discard)
        task.add_done_callback(lambda _: listener.close())
        return int(listener.getsockname()[1])

    def cut_term(self, run: RunId, term: int) -> None:
        """Another process group takes the place of this one: cut its streams, so that nobody waits for their bytes."""
        self.end(run, term)
        self._cut(lambda _, of_run, of_term: (of_run, of_term) == (run, term))

    def end(self, run: RunId, term: int) -> None:
        """The trainer here has ended. Its streams notice that, and drain."""
        tunnels = self._runs.pop((run, term), None)
        for task in tunnels.forwarders if tunnels else ():
            task.cancel()

    # -- all streams -------------------------------------------------------------------------------------------------

    def cut(self, device: DeviceId) -> None:
        """Cut every stream to this device: it is gone or no member any more, and nobody may wait for its bytes."""
        self._cut(lambda end, run, term: end == device)

    def carried_bytes(self) -> dict[DeviceId, int]:
        """Bytes carried to and from each device since this agent started."""
        total = Counter(self._carried)
        for stream, (device, _, _) in self._streams.items():
            total[device] += stream.sent_bytes + stream.received_bytes
        return dict(total)

    def sent_bytes(self) -> int:
        """Bytes sent in all streams since this agent started."""
        return self._sent + sum(stream.sent_bytes for stream in self._streams)

    async def close(self) -> None:
        """End every run's tunnels."""
        for key in list(self._runs):
            self.end(*key)
        for stream in list(self._streams):
            stream.cut()

    # -- the requesting side -----------------------------------------------------------------------------------------

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
        self._join(local, channel, (device, run, term))

    async def _reach(self, run: RunId, term: int, device: DeviceId) -> Channel:
        """A connection whose other end the device has joined to its trainer. Raises CellmindError."""
        link = await self._peers.dial_again(device)
        if link is None:
            link = await self._request_dial(run, term, device)
        try:
            await link.request(m.OpenTunnel(run=run, term=term))
        except BaseException:
            link.channel.cut()
            raise
        return link.channel

    async def _request_dial(self, run: RunId, term: int, device: DeviceId) -> Link:
        """A connection that the device dials at our request. Raises CellmindError."""
        number = next(self._numbers)
        expected: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._expected[number] = (device, expected)
        try:
            await self._peers.link(device).request(m.DialTunnel(run=run, term=term, number=number))
            async with asyncio.timeout(DIAL_SECONDS):
                return Link(await expected)
        except TimeoutError as error:
            raise TimedOutError("{name} did not dial", name=self._peers.name(device)) from error
        finally:
            del self._expected[number]

    # -- the answering side ------------------------------------------------------------------------------------------

    async def _open(self, request: m.OpenTunnel, caller: Caller) -> m.Done:
        """Join this connection to our trainer, or take it as the one that we have requested."""
        assert isinstance(caller.channel, Channel)
        assert caller.device is not None
        channel = caller.channel
        # With a number, the other side has dialled at our request, and the stream begins at our end.
        if request.number is not None:
            device, expected = self._expected.get(request.number, (None, None))
            if device != caller.device or expected is None or expected.done():
                raise NotAllowedError("this device has not requested that connection")
            expected.set_result(channel)
            return m.Done()
        tunnels = self._run_tunnels(request.run, request.term)
        if caller.device not in tunnels.members:
            raise NotAllowedError("only members of the run may open tunnels in it")
        if tunnels.exposed_port is None or channel.carries is not None:
            raise UnknownNameError("no trainer listens here yet", "cellmindctl runs")
        local = socket.socket()
        local.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(local, (_LOOPBACK, tunnels.exposed_port))
        except OSError as error:
            local.close()
            raise UnknownNameError(
                "the trainer here takes no connection ({strerror})", strerror=error.strerror
            ) from error
        self._join(local, channel, (caller.device, request.run, request.term))
        return m.Done()

    async def _dial(self, request: m.DialTunnel, caller: Caller) -> m.Done:
        """Dial the caller, which cannot dial us."""
        assert caller.device is not None
        if caller.device not in self._run_tunnels(request.run, request.term).members:
            raise NotAllowedError("only members of the run may open tunnels in it")
        link = await self._peers.dial_again(caller.device)
        if link is None:
            raise UnknownNameError("neither of the two devices can dial the other", "cellmindctl doctor")
        try:
            await link.request(m.OpenTunnel(run=request.run, term=request.term, number=request.number))
        except BaseException:
            link.channel.cut()
            raise
        return m.Done()

    # -- both sides --------------------------------------------------------------------------------------------------

    def _cut(self, is_meant: Callable[[DeviceId, RunId, int], bool]) -> None:
        for stream in [stream for stream, end in self._streams.items() if is_meant(*end)]:
            stream.cut()

    def _join(self, local: socket.socket, channel: Channel, end: tuple[DeviceId, RunId, int]) -> None:
        def ended() -> None:
            self._carried[self._streams.pop(stream)[0]] += stream.sent_bytes + stream.received_bytes
            self._sent += stream.sent_bytes
            if isinstance(channel, Connection):  # the side that dialled closes, so that nothing sent is lost
                channel.close()

        stream = Stream(local, channel, ended)
        self._streams[stream] = end

    def _run_tunnels(self, run: RunId, term: int) -> _RunTunnels:
        if (run, term) not in self._runs:
            raise UnknownNameError(
                "this device takes no part in term {term} of {run}", "cellmindctl runs", term=term, run=f"{run!r:.60}"
            )
        return self._runs[run, term]


def _listen(ports: Sequence[int]) -> socket.socket:
    """Listen on the first free one of these loopback ports, or on any when there are none. Raises CellmindError."""
    for port in ports or [0]:
        listener = socket.socket()
        listener.setblocking(False)
        with contextlib.suppress(OSError):
            listener.bind((_LOOPBACK, port))
            listener.listen(1)
            return listener
        listener.close()
    raise CellmindError("no loopback port is free for a tunnel", "end some programs, and try again")
