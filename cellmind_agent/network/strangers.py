"""The devices that mDNS hears and that are no members. Nothing that they announce is proved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from cellmind_agent.network.discovery import Sighting
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import MAX_STRANGERS_SEEN


class Strangers:
    """The last sighting of each stranger."""

    def __init__(self) -> None:
        self._sightings: dict[DeviceId, Sighting] = {}
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[Sighting]:
        return iter(list(self._sightings.values()))

    def add(self, sighting: Sighting) -> None:
        """Keep the sighting, if there is room for one more device."""
        device = sighting.announcement.device
        if device in self._sightings or len(self._sightings) < MAX_STRANGERS_SEEN:
            self._sightings[device] = sighting
            self._changed.set()

    def pop(self, device: DeviceId) -> Sighting | None:
        """Remove and return the sighting of a device, if there is one."""
        return self._sightings.pop(device, None)

    def remove(self, id_prefix: str) -> None:
        """Forget the devices whose id begins so."""
        for device in [device for device in self._sightings if device.startswith(id_prefix)]:
            del self._sightings[device]

    def inviting(self, nameplate: str) -> list[Sighting]:
        """The sightings that announce an open invitation with this number."""
        return [seen for seen in self._sightings.values() if seen.announcement.nameplate == nameplate]

    async def changed(self) -> None:
        """Return when the next sighting is added."""
        self._changed.clear()
        await self._changed.wait()


def stranger_view(sighting: Sighting) -> m.PeerView:
    """A device that is no member, as people see it."""
    device = sighting.announcement.device
    return m.PeerView(
        id=device,
        name=short(device),
        role=None,
        paired=False,
        state="online",
        is_self=False,
        addresses=tuple(str(address) for address in sighting.addresses),
        how=sighting.how,
    )
