"""The discovery ladder: while a member is missing, search for it beyond multicast, less and less often."""

from __future__ import annotations

import asyncio

from cellmind_agent.network.discovery import Discovery
from cellmind_agent.network.peers import Peers
from cellmind_agent.protocol.limits import WIDEN_FIRST_SECONDS, WIDEN_LAST_SECONDS


async def widen_discovery(peers: Peers, discovery: Discovery) -> None:
    """Query the hosts where missing members were last reached, until cancelled."""
    while True:
        await peers.wait_for_missing()
        pause_seconds = WIDEN_FIRST_SECONDS
        await asyncio.sleep(pause_seconds)
        while peers.has_missing:
            await discovery.query(peers.missing_hosts())
            pause_seconds = min(2 * pause_seconds, WIDEN_LAST_SECONDS)
            await asyncio.sleep(pause_seconds)
