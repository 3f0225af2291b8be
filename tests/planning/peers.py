"""Devices for tests of decisions: all online, paired, and alike but for what a test changes."""

from dataclasses import replace

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import Accelerator, Figure, PeerView, Versions, Vitals

VITALS = Vitals(
    name="x",
    host="one",
    os="linux",
    arch="x86_64",
    versions=Versions(cellmind="0", python="3", torch="2.13"),
    ram_total_bytes=Figure(value=8 * 2**30, source="test"),
)


def peer(name: str, **changes: object) -> PeerView:
    """A device whose vitals differ from VITALS by `changes`."""
    vitals = replace(VITALS, **changes)  # type: ignore[arg-type]
    return PeerView(
        id=DeviceId(name * 16), name=name, role="member", paired=True, state="online", is_self=False, vitals=vitals
    )


def gpu(uuid: str, gigabytes: int = 80) -> Accelerator:
    return Accelerator(kind="cuda", name="GPU", uuid=uuid, memory_bytes=gigabytes << 30)
