"""Which entries of a keyring count, and who belongs to the cell by them. Pure: a function of the set of entries.

Any set of signed entries has one answer, whatever the order in which they came, so devices that have the same entries
agree. Nobody has to win a race: the answer follows from seniority, which a device cannot change for itself.

Seniority. The recovery code comes first, then the founder. An owner comes after the owner that added it; of two owners,
the one comes first that is fewer additions away from the founder, then the one that the more senior owner added, then
the one that this owner added earlier.

What counts:

1. An owner may add devices, and may remove those that are no owners and owners that are less senior. Nobody else may
   write, and no owner removes itself.
2. If a device was removed, of all that it wrote only that counts which the removal follows: what the remover had seen.

A removal of an owner therefore depends only on more senior ones, and so on up to the founder. So entries are judged
owner by owner in the order of seniority, as Dijkstra's algorithm visits nodes; and a removed owner can write what it
likes: neither its removal nor anybody's seniority depends on that. (That seniority decides between two members that
remove each other is an idea of `@localfirst/auth`.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.trust.entries import RECOVERY
from cellmind_agent.trust.entry_log import Entry, Log

# How many additions away from the founder, and for each of them how many entries its author had written before, with
# the hash for authors that contradict themselves. The smaller rank is the more senior.
Rank: TypeAlias = tuple[int, tuple[tuple[int, bytes], ...]]

_RECOVERY_RANK: Rank = (-1, ((1, b""),))  # the founder is senior to those that the code has made owners
_FOUNDER_RANK: Rank = (0, ((0, b""),))
LAST_RANK: Rank = (1 << 30, ())  # of a device that never was an owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The members, and the places of the entries that count."""

    members: dict[DeviceId, tuple[Entry, ...]]  # the additions that count: as owner first, then the most senior
    counting: frozenset[int]
    ranks: dict[DeviceId, Rank]  # of all that are owners or were


def judge(log: Log) -> Standing:
    """Decide which entries count. Looks at the entries of an author once for each addition of that author."""
    return _Judgement(log).standing()


class _Judgement:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_author = log.by_author()
        self._ranks: dict[int, Rank] = {0: _FOUNDER_RANK}  # of the additions that count, by place
        self._seen: dict[int, int] = {}  # by the place of an addition that was removed: what all its removers had seen
        self._counting = {0}
        self._owners: dict[DeviceId, Rank] = {}

    def standing(self) -> Standing:
        waiting: list[tuple[Rank, int]] = [(_RECOVERY_RANK, -1), (_FOUNDER_RANK, 0)]
        while waiting:
            rank, place = heapq.heappop(waiting)
            for entry in self._written_by(rank, place):
                if entry.action == "remove":
                    self._remove(entry, rank)
                elif entry.place not in self._ranks:
                    assert entry.subject
                    self._counting.add(entry.place)
                    self._ranks[entry.place] = (rank[0] + 1, (*rank[1], (entry.num_before, entry.hash)))
                    if entry.subject.role == "owner":
                        heapq.heappush(waiting, (self._ranks[entry.place], entry.place))
        return Standing(members=self._members(), counting=frozenset(self._counting), ranks=self._owners)

    def _written_by(self, rank: Rank, place: int) -> Iterator[Entry]:
        """The entries that count by the right of an addition, or of the recovery code. All who may remove that addition
        have been judged."""
        if place < 0:
            author, seen = RECOVERY, -1
        else:
            author, seen = _device(self._log.entries[place]), self._seen.get(place, -1)  # -1: every bit is set
        self._owners.setdefault(author, rank)
        for entry in self._by_author.get(author, ()):
            if entry.place and (place < 0 or entry.past >> place & 1) and seen >> entry.place & 1:
                yield entry

    def _remove(self, removal: Entry, rank: Rank) -> None:
        """A removal by an owner of that rank, in whose name it counts."""
        for addition in self._log.at(removal.revokes):
            assert addition.subject
            # An addition that has no rank yet will have a later one.
            is_junior = self._ranks.get(addition.place, LAST_RANK) > rank
            if addition.subject.role != "owner" or is_junior:
                self._seen[addition.place] = self._seen.get(addition.place, -1) & removal.past
                self._counting.add(removal.place)

    def _members(self) -> dict[DeviceId, tuple[Entry, ...]]:
        """Of two devices with the same link key, only the one with the more senior addition is a member: nobody could
        distinguish their links."""
        alive = [self._log.entries[place] for place in self._ranks if place not in self._seen]
        found: dict[DeviceId, list[Entry]] = {}
        of_key: dict[bytes, DeviceId] = {}
        for addition in sorted(alive, key=lambda one: self._ranks[one.place]):
            assert addition.subject
            device = _device(addition)
            if of_key.setdefault(addition.subject.curve_key, device) == device:
                found.setdefault(device, []).append(addition)
        return {
            device: tuple(sorted(additions, key=_is_plain))  # stable: the most senior first
            for device, additions in sorted(found.items(), key=lambda one: min(addition.place for addition in one[1]))
        }


def _is_plain(addition: Entry) -> bool:
    return addition.subject is not None and addition.subject.role != "owner"


def _device(addition: Entry) -> DeviceId:
    assert addition.subject
    return addition.subject.device


def contradictions(log: Log) -> Iterator[DeviceId]:
    """Devices that wrote two entries neither of which follows the other: somebody else has a copy of their keys, or
    they were restored from a backup."""
    for author, entries in log.by_author().items():
        if author != RECOVERY and any(entry.num_before != number for number, entry in enumerate(entries)):
            yield author
