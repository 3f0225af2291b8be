"""Networks of homes that do not exist, for simulations: devices on Wi-Fi or with a cable, in one room or in several.

Wi-Fi is one medium, over which one device sends at a time; what goes from one to another on it crosses it twice, by way
of the access point. A cable carries as much in both directions at once. The access points of several cells are joined
by a backbone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellmind_agent.planning.exchange import best_averaging
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a device is: in which cell, and with a cable or on the air."""

    cell: int = 0
    is_wired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeNetwork:
    """Rates are in bytes a second: of the air of each cell, of each cable, and of each access point's own cable."""

    places: Mapping[DeviceId, Place]
    air: float
    cable: float
    backbone: float

    def parts_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float | None:
        """See `Network`. The members send to each other alike, so to those of other cells in proportion."""
        count = len(members)
        each = 2 * (count - 1) / count * vector_bytes
        cells = self._cells(members)
        across = [own * each * (count - own) / max(1, count - 1) for own in cells.values()]
        return self._longest(members, {member.device: (each, each) for member in members}, across)

    def star_seconds(self, members: Sequence[RosterMember], vector_bytes: float, center: RosterMember) -> float | None:
        """See `Network`."""
        others = len(members) - 1
        traffic = {member.device: (vector_bytes, 0.0) for member in members if member != center}
        traffic[center.device] = 0.0, others * vector_bytes
        cells = self._cells(members)
        home = self.places[center.device].cell
        outside = [own * vector_bytes for cell, own in cells.items() if cell != home]
        there = self._longest(members, traffic, [*outside, sum(outside)])
        return 2 * there  # the mean goes back the same way

    def ring_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float | None:
        """See `Network`. Neighbours are in one cell, but for one pair of each."""
        count = len(members)
        each = 2 * (count - 1) / count * vector_bytes
        across = [each] * len(self._cells(members)) if len(self._cells(members)) > 1 else []
        return self._longest(members, {member.device: (each, each) for member in members}, across)

    def cells_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float:
        """Cells of cells: each cell averages through one of its members, and then these among each other."""
        by_cell: dict[int, list[RosterMember]] = {}
        for member in members:
            by_cell.setdefault(self.places[member.device].cell, []).append(member)
        centers = [max(own, key=lambda one: self.places[one.device].is_wired) for own in by_cell.values()]
        inner = [
            self.star_seconds(own, vector_bytes, center) or 0.0
            for own, center in zip(by_cell.values(), centers, strict=True)
        ]
        outer = best_averaging(centers, vector_bytes, self, centers=())
        return max(inner) + (outer.seconds if outer else 0.0)

    def _cells(self, members: Sequence[RosterMember]) -> Counter[int]:
        return Counter(self.places[member.device].cell for member in members)

    def _longest(
        self,
        members: Sequence[RosterMember],
        traffic: Mapping[DeviceId, tuple[float, float]],
        across: Sequence[float],
    ) -> float:
        """How long it takes until each device has sent and received its bytes, and each backbone has carried what goes
        `across` it in one direction."""
        if len(members) < 2:
            return 0.0
        on_air: dict[int, float] = {}
        seconds = [count / self.backbone for count in across]
        for member in members:
            sent, received = traffic[member.device]
            place = self.places[member.device]
            if place.is_wired:
                seconds.append(max(sent, received) / self.cable)
            else:
                on_air[place.cell] = on_air.get(place.cell, 0.0) + sent + received
        return max([*seconds, *(count / self.air for count in on_air.values())])
