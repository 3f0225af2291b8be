"""How long members take to exchange a vector over the network between them, and by which way it is shortest. Pure.

Either each member averages a part of the vector, or one member in the middle averages all of it (a star). Both send the
same number of bytes. But what two devices on Wi-Fi send to each other crosses the air twice, by way of the access
point: where one device has a cable, a star through it is shorter. On a switch each member's own cable is the limit, and
the one in the middle of a star would keep all others waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import RosterMember

_WORTH_A_STAR = 0.9  # a star must be shorter by this much: if its middle is lost, all of the vector is sent again
_SHARED_BELOW = (
    0.7  # of what devices reach one after the other: less, when all send at once, is a medium that they share
)


class Network(Protocol):
    """Seconds to exchange a vector of so many bytes in float32, eight bits or another coding, among members of a run.

    None: not known. Members on one machine exchange at once.
    """

    def parts_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float | None:
        """Each member averages a part: it sends that part's values to nobody, and the mean of it to all."""
        ...

    def star_seconds(self, members: Sequence[RosterMember], vector_bytes: float, center: RosterMember) -> float | None:
        """All send to the one in the middle, and then receive the mean from it."""
        ...

    def ring_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float | None:
        """As gloo reduces: each sends to the next one only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """`rates[one, other]` is the bytes a second from one device to another while nobody else sends. `is_shared`: all
    use one medium, so that what they send at the same time takes as long as one after the other."""

    rates: Mapping[tuple[DeviceId, DeviceId], float]
    is_shared: bool = False

    @property
    def slowest_rate(self) -> float:
        """Of all links, in bytes a second; 0 if none was measured."""
        return min(self.rates.values(), default=0.0)

    def parts_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float | None:
        """See `Network`."""
        part = 2 * vector_bytes / len(members)
        return self._seconds((one, other, part) for one in members for other in members if one != other)

    def star_seconds(self, members: Sequence[RosterMember], vector_bytes: float, center: RosterMember) -> float | None:
        """See `Network`."""
        others = [member for member in members if member != center]
        there = self._seconds((other, center, vector_bytes) for other in others)
        back = self._seconds((center, other, vector_bytes) for other in others)
        return None if there is None or back is None else there + back

    def ring_seconds(self, members: Sequence[RosterMember], vector_bytes: float) -> float | None:
        """See `Network`."""
        count = len(members)
        each = 2 * (count - 1) / count * vector_bytes
        following = (*members[1:], *members[:1])
        return self._seconds((one, other, each) for one, other in zip(members, following, strict=True) if count > 1)

    def _seconds(self, traffic: Iterable[tuple[RosterMember, RosterMember, float]]) -> float | None:
        """How long all of it takes when it starts at once: on a shared medium the sum, else as long as the busiest
        device sends or receives."""
        total, sending, receiving = 0.0, dict[DeviceId, float](), dict[DeviceId, float]()
        for one, other, count in traffic:
            if one.host == other.host:
                continue
            rate = self.rates.get((one.device, other.device), 0.0)
            if rate <= 0:
                return None
            seconds = count / rate
            total += seconds
            sending[one.device] = sending.get(one.device, 0.0) + seconds
            receiving[other.device] = receiving.get(other.device, 0.0) + seconds
        return total if self.is_shared else max([*sending.values(), *receiving.values()], default=0.0)


def is_shared_medium(alone: Sequence[float], at_once: Sequence[float]) -> bool:
    """Whether devices share one medium, by the bytes a second that they sent one after the other, and all at once."""
    return sum(at_once) < _SHARED_BELOW * sum(alone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Averaging:
    """How long an average takes, and through which member; None: each averages a part."""

    seconds: float
    center: RosterMember | None = None


def best_averaging(
    members: Sequence[RosterMember],
    vector_bytes: float,
    network: Network,
    centers: Sequence[RosterMember] | None = None,
) -> Averaging | None:
    """The shortest way to average a vector. None if the network is not known.

    `centers` are those members that may be in the middle of a star, by default all.
    """
    seconds = network.parts_seconds(members, vector_bytes)
    if seconds is None:
        return None
    best = Averaging(seconds=seconds)
    for center in members if centers is None and len(members) > 2 else centers or ():
        star = network.star_seconds(members, vector_bytes, center)
        if star is not None and star < best.seconds * (_WORTH_A_STAR if best.center is None else 1):
            best = Averaging(seconds=star, center=center)
    return best
