"""How the agent was started, and what its person allows its trainers. Values only."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import UsageError

WILDCARD_HOSTS = ("0.0.0.0", "::")  # listen on every interface
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB)", re.IGNORECASE)
_HELP = "cellmind-agent --help"
_BITS_BY_UNIT = {"MB": 20, "GB": 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Politeness:
    """How training yields to the person who uses this device, and the most that it may take. Raises UsageError."""

    yields: bool = True  # to other programs, heat and a low battery
    trains_on_battery: bool = True  # down to LOW_BATTERY_PERCENT; False: only while it charges
    nice: int = 10  # of trainers, from 0 (as other programs) to 19 (only what others leave)
    max_threads: int | None = None
    max_memory_bytes: int | None = None  # resident memory of a trainer

    def __post_init__(self) -> None:
        if not 0 <= self.nice <= 19:
            raise UsageError("--nice {nice} is not between 0 (off) and 19", _HELP, nice=self.nice)
        if self.max_threads is not None and self.max_threads < 1:
            raise UsageError("--train-threads {max_threads} is less than 1", _HELP, max_threads=self.max_threads)
        if self.max_memory_bytes is not None and self.max_memory_bytes <= 0:
            raise UsageError("--train-memory must be more than 0", _HELP)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The agent's options. `cellmind-agent --help` explains each. Raises UsageError."""

    home: Path
    name: str
    listen: Address
    interfaces: tuple[str, ...] = ()  # of mDNS, by name or address; empty: all that look like a local network
    peers: tuple[Address, ...] = ()  # where members may be
    uses_mdns: bool = True
    quota_bytes: int | None = None  # of all blobs
    politeness: Politeness = field(default_factory=Politeness)
    resume_on_boot: bool = False  # go on with a run that was interrupted when the device went down
    unseen_days: float = 180  # a member that has not been here for so long is offered for removal

    def __post_init__(self) -> None:
        if not self.unseen_days > 0:
            raise UsageError("--unseen-days must be more than 0", _HELP)
        try:
            ipaddress.ip_address("127.0.0.1" if self.listen.host == "localhost" else self.listen.host)
        except ValueError as error:  # libzmq would take the name of an interface too, and choose one of its addresses
            hint = "write an address of this device, such as --listen 192.168.0.5:7420; 0.0.0.0 listens on all"
            raise UsageError("--listen {host} is not an address", hint, host=self.listen.host) from error

    @property
    def unseen_seconds(self) -> float:
        """`unseen_days` in seconds."""
        return self.unseen_days * 24 * 3600.0

    @property
    def announced_interfaces(self) -> tuple[str, ...]:
        """The interfaces of mDNS. An agent that listens on one address is announced there alone: it could not be
        reached anywhere else."""
        if self.listen.host in WILDCARD_HOSTS:
            return self.interfaces
        return ("127.0.0.1" if self.listen.host == "localhost" else self.listen.host,)


def parse_size(text: str) -> int:
    """The bytes of a size such as `2GB` or `1.5 GB`, in units of 1024. Raises UsageError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError("{text} is no size", "write it like 2GB or 800MB", text=f"{text!r:.40}")
    return int(float(match[1]) * (1 << _BITS_BY_UNIT[match[2].upper()]))
