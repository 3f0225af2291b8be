"""How the agent was started. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.protocol.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The agent's options. `cellmind-agent --help` explains each."""

    home: Path
    name: str
    listen: Address
    interfaces: tuple[str, ...] = ()  # of mDNS, by name or address; empty: all that look like a local network
    peers: tuple[Address, ...] = ()  # where members may be
    uses_mdns: bool = True
    quota_bytes: int | None = None  # of all blobs
