"""A member notices that its leader is lost."""

from __future__ import annotations

import asyncio

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.peers import Peers
from cellmind_agent.protocol.ids import DeviceId


async def until_leader_lost(peers: Peers, device: DeviceId, leader: DeviceId, channel: object) -> None:
    """Return when the leader's connection `channel` is lost, or its device is absent. Never, if this device leads."""
    if leader == device:
        await asyncio.Event().wait()
    waits = [asyncio.create_task(peers.until_absent(leader))]
    if isinstance(channel, Channel):
        waits.append(asyncio.create_task(channel.lost()))
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
