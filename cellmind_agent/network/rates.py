"""How fast bytes get from this device to another one, measured for about a second: a run's mode depends on it."""

from __future__ import annotations

import asyncio
import os

from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import BusyError
from cellmind_agent.protocol.limits import (
    CHUNK_BYTES,
    MAX_RATE_PROBE_SECONDS,
    RATE_FIRST_BYTES,
    RATE_PIECE_SECONDS,
    REQUEST_SECONDS,
)
from cellmind_agent.trust.permissions import Caller

_AT_ONCE = 2  # while one piece is acknowledged, the next one is on its way


class Rates:
    """Sends bytes that nobody keeps, and counts them."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._turn = asyncio.Lock()  # two probes would measure each other, and many would be a flood

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.ProbeRate: self._probe, m.TakeBytes: self._take}

    async def _probe(self, request: m.ProbeRate, caller: Caller) -> m.RateProbed:
        """Raises BusyError, UnreachableError, and what a request over the link raises."""
        if self._turn.locked():
            raise BusyError("this device is measuring the network already")
        seconds = min(MAX_RATE_PROBE_SECONDS, request.seconds)  # in this order, NaN is no limit
        async with self._turn:
            return m.RateProbed(bytes_per_second=await sending_rate(self._peers.link(request.device), seconds))

    async def _take(self, request: m.TakeBytes, caller: Caller) -> m.Done:
        return m.Done()


async def sending_rate(link: Link, seconds: float) -> float:
    """Bytes a second, over so many seconds. Pieces grow while they take less than RATE_PIECE_SECONDS, so that
    heartbeats on the link wait no longer than that. Raises as `Link.request`.
    """
    clock = asyncio.get_running_loop().time
    size, begun, sent = RATE_FIRST_BYTES, clock(), 0
    ends_at = begun + seconds
    while True:
        started, data = clock(), os.urandom(size)  # random: no network on the way can make it smaller
        pieces = (link.request(m.TakeBytes(data=data), seconds=REQUEST_SECONDS) for _ in range(_AT_ONCE))
        await asyncio.gather(*pieces)
        sent += _AT_ONCE * size
        now = clock()
        if now >= ends_at:
            return sent / (now - begun)
        if now - started < _AT_ONCE * RATE_PIECE_SECONDS / 2 and size < CHUNK_BYTES:
            size, begun, sent = min(2 * size, CHUNK_BYTES), now, 0  # what smaller pieces reached does not count
