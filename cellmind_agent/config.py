"""How the agent was started. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.protocol.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    home: Path
    name: str
    listen: Address
    interfaces: tuple[str, ...] = ()
    peers: tuple[Address, ...] = ()
    uses_mdns: bool = True
    quota_bytes: int | None = None
