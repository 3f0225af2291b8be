"""Which entries of a keyring count, and who belongs to the cell by them. Pure: a function of the set of entries.

Any set of signed entries has one answer, whatever the order in which they came, so devices that have the same entries
agree. Nobody has to win a race: the answer follows from seniority, which a device cannot change for itself.

Seniority. The recovery code comes first, then the founder. An owner comes after the owner that added it; of two owners,
the one comes first that is fewer additions away from the founder, then the one that the more senior owner added, then
the one that this owner added earlier.

What counts:

1. An owner may add devices, and may remove those that are no owners and owners that are less senior. Each device may
   remove itself.
2. If a device was removed, of all that it wrote only that counts which the removal follows: what the remover had seen.

A removal of an owner therefore depends only on more senior ones, and so on up to the founder. So entries are judged
owner by owner in the order of seniority, as Dijkstra's algorithm visits nodes; and a removed owner can write what it
likes: neither its removal nor anybody's seniority depends on that. (That seniority decides between two members that
remove each other is an idea of `@localfirst/auth`.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.trust.entries import RECOVERY
from cellmind_agent.trust.entry_log import Entry, Log

# How many additions away from the founder, and for each of them how many entries its author had written before, with
# the hash for authors that contradict themselves. The smaller rank is the more senior.
Rank: TypeAlias = tuple[int, tuple[tuple[int, bytes], ...]]

_RECOVERY_RANK: Rank = (-1, ())
_FOUNDER_RANK: Rank = (0, ())
LAST_RANK: Rank = (1 << 30, ())  # of a device that never was an owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The members, and the places of the entries that count."""

    members: dict[DeviceId, tuple[Entry, ...]]  # the additions that count: as owner first, then the most senior
    counting: frozenset[int]
    ranks: dict[DeviceId, Rank]  # of all that are owners or were


@dataclass(slots=True)
class _Owner:
    """An addition (or the recovery code) that lets its device write."""

    rank: Rank
    addition: Entry | None  # None: the recovery code
    removals: list[Entry] = field(default_factory=list)

    def lets_count(self, entry: Entry) -> bool:
        """Whether it had been added by then, and not been removed, as far as its removers know."""
        is_added = self.addition is None or entry.follows(self.addition)
        return is_added and all(removal.follows(entry) for removal in self.removals)


def judge(log: Log) -> Standing:
    """Decide which entries count. Needs no more than a few passes over the log."""
    return _Judgement(log).standing()


class _Judgement:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._by_author = log.by_author()
        self._ranks: dict[int, Rank] = {0: _FOUNDER_RANK}  # of the additions that count, by place
        self._removals: dict[int, list[Entry]] = {}  # by the place of the addition: those that count
        self._counting = {0}
        self._owners: dict[DeviceId, Rank] = {}

    def standing(self) -> Standing:
        waiting: list[tuple[Rank, int]] = [(_RECOVERY_RANK, -1), (_FOUNDER_RANK, 0)]
        plain: list[Entry] = []  # additions of devices that are no owners
        while waiting:
            rank, place = heapq.heappop(waiting)
            owner = self._owner(rank, place)
            author = RECOVERY if owner.addition is None else _device(owner.addition)
            self._owners.setdefault(author, rank)
            for entry in self._by_author.get(author, ()):
                if entry.place == 0 or not owner.lets_count(entry):
                    continue
                if entry.action == "remove":
                    self._remove(entry, rank)
                elif entry.place not in self._ranks:
                    assert entry.subject
                    self._counting.add(entry.place)
                    self._ranks[entry.place] = (rank[0] + 1, (*rank[1], (entry.num_before, entry.hash)))
                    if entry.subject.role == "owner":
                        heapq.heappush(waiting, (self._ranks[entry.place], entry.place))
                    else:
                        plain.append(entry)
        for addition in plain:
            self._let_leave(addition)
        return Standing(members=self._members(), counting=frozenset(self._counting), ranks=self._owners)

    def _owner(self, rank: Rank, place: int) -> _Owner:
        """All who may remove it have been judged, but for itself."""
        if place < 0:
            return _Owner(rank, None)
        addition = self._log.entries[place]
        self._let_leave(addition)
        return _Owner(rank, addition, self._removals.get(place, []))

    def _remove(self, removal: Entry, rank: Rank) -> None:
        """A removal by an owner of that rank, in whose name it counts."""
        for place in removal.revokes:
            addition = self._log.entries[place]
            subject = addition.subject
            assert subject
            is_junior = self._ranks.get(place, LAST_RANK) > rank  # without a rank yet: it will have a later one
            if subject.device != removal.author and (subject.role != "owner" or is_junior):
                self._count_removal(place, removal)

    def _let_leave(self, addition: Entry) -> None:
        """Count the removals that the device itself has written, unless it had been removed by then."""
        removals = self._removals.get(addition.place, [])
        leaves = [
            entry
            for entry in self._by_author.get(_device(addition), ())
            if addition.place in entry.revokes and all(removal.follows(entry) for removal in removals)
        ]
        for entry in leaves:
            self._count_removal(addition.place, entry)

    def _count_removal(self, place: int, removal: Entry) -> None:
        self._removals.setdefault(place, []).append(removal)
        self._counting.add(removal.place)

    def _members(self) -> dict[DeviceId, tuple[Entry, ...]]:
        found: dict[DeviceId, list[Entry]] = {}
        for place in sorted(self._ranks):
            if not self._removals.get(place):
                addition = self._log.entries[place]
                found.setdefault(_device(addition), []).append(addition)
        return {
            device: tuple(sorted(additions, key=lambda one: (one.subject.role != "owner", self._ranks[one.place])))  # type: ignore[union-attr]
            for device, additions in found.items()
        }


def _device(addition: Entry) -> DeviceId:
    assert addition.subject
    return addition.subject.device


def contradictions(log: Log) -> Iterator[DeviceId]:
    """Devices that wrote two entries neither of which follows the other: somebody else has a copy of their keys, or
    they were restored from a backup."""
    for author, entries in log.by_author().items():
        if author != RECOVERY and any(entry.num_before != number for number, entry in enumerate(entries)):
            yield author
