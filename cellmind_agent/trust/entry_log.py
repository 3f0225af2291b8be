"""The entries of a keyring in order, each checked: its signature, its author, and what it follows. Pure.

What an entry follows, through its parents, is its past: all that its author is known to have seen. Whether an entry
counts is not decided here (`standing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.trust.entries import RECOVERY, Action, Member, Signed, Subject, entry_hash, parse_entry
from cellmind_agent.trust.identity import is_signed_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry in its log. `place` is its index there, and bit i of `past` is set if it follows the entry at i."""

    data: bytes
    hash: bytes
    place: int
    past: int
    action: Action
    author: DeviceId
    subject: Member | None  # of `found` and `add`
    revokes: int  # of `remove`: bit i is set if the addition at i counts no longer
    num_before: int  # entries of the same author in the past

    def follows(self, other: Entry) -> bool:
        """Whether the author had seen the other entry."""
        return bool(self.past >> other.place & 1)


@dataclass(frozen=True, slots=True)
class Log:
    """Entries, each after those that it follows. The first one founds the cell."""

    entries: tuple[Entry, ...]
    recovery_key: bytes  # empty: the cell has no recovery code

    def heads(self, counting: Set[int]) -> tuple[bytes, ...]:
        """The hashes of the entries at these places that no other one of them follows, sorted."""
        followed = 0
        for place in counting:
            followed |= self.entries[place].past
        return tuple(sorted(self.entries[place].hash for place in counting if not followed >> place & 1))

    def at(self, places: int) -> list[Entry]:
        """The entries at the places whose bits are set, in order."""
        found = []
        while places:
            place = places.bit_length() - 1
            found.append(self.entries[place])
            places ^= 1 << place
        return found[::-1]

    def by_author(self) -> Mapping[DeviceId, list[Entry]]:
        """The entries of each author, in order."""
        found: dict[DeviceId, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.author, []).append(entry)
        return found


def read_log(entries: Iterable[bytes]) -> Log:
    """The log of these entries, given in any order. Two logs of the same entries are equal.

    Raises ProtocolError if an entry is damaged, is not signed by its author, follows one that is missing, or if its
    author never had the right to write such an entry.
    """
    reading = _Reading()
    for data, signed in _in_order({data: parse_entry(data) for data in entries}):
        reading.take(data, signed)
    if not reading.entries:
        raise ProtocolError("a keyring has at least one entry")
    return Log(tuple(reading.entries), reading.recovery_key)


def _in_order(signed_by_data: Mapping[bytes, Signed]) -> list[tuple[bytes, Signed]]:
    """Each entry after its parents; those of the same generation by their hashes."""
    by_hash = {entry_hash(data).hex(): (data, signed) for data, signed in signed_by_data.items()}
    waiting = {name: len(signed.body.parents) for name, (_, signed) in by_hash.items()}
    children: dict[str, list[str]] = {}
    for name, (_, signed) in by_hash.items():
        for parent in signed.body.parents:
            if parent not in by_hash:
                raise ProtocolError("a keyring entry follows one that is missing")
            children.setdefault(parent, []).append(name)
    ordered: list[tuple[bytes, Signed]] = []
    generation = sorted(name for name, number in waiting.items() if number == 0)
    while generation:  # all are reached: no entry can contain a hash that depends on itself
        ordered += [by_hash[name] for name in generation]
        free = []
        for child in (child for name in generation for child in children.get(name, ())):
            waiting[child] -= 1
            if waiting[child] == 0:
                free.append(child)
        generation = sorted(free)
    return ordered


class _Reading:
    """What is known of a log up to some entry."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.recovery_key = b""
        self._places: dict[str, int] = {}  # by hash
        self._of_author: dict[str, int] = {}  # bits of its entries
        self._additions: dict[str, list[Entry]] = {}  # by the device that was added

    def take(self, data: bytes, signed: Signed) -> None:
        """The next entry. Raises ProtocolError."""
        body, number = signed.body, len(self.entries)
        if (number == 0) != (body.action == "found"):
            raise ProtocolError("keyring entry {number} is damaged", number=number)
        past = 0
        for parent in body.parents:
            place = self._places[parent]
            past |= self.entries[place].past | 1 << place
        entry = Entry(
            data=data,
            hash=entry_hash(data),
            place=number,
            past=past,
            action=body.action,
            author=DeviceId(body.author),
            subject=_member(body.subject) if body.subject else None,
            revokes=sum(1 << self._place_of_addition(number, past, body.device, name) for name in body.revokes),
            num_before=(self._of_author.get(body.author, 0) & past).bit_count(),
        )
        if entry.action == "found":
            self.recovery_key = bytes.fromhex(body.recovery)
        key = self._signing_key(entry)
        if not _is_signed(entry.hash, key, signed):
            raise ProtocolError("keyring entry {number} is not signed by a member", number=number)
        self.entries.append(entry)
        self._places[entry.hash.hex()] = number
        self._of_author[body.author] = self._of_author.get(body.author, 0) | 1 << number
        if entry.subject:
            self._additions.setdefault(entry.subject.device, []).append(entry)

    def _place_of_addition(self, number: int, past: int, device: str, addition: str) -> int:
        """Raises ProtocolError unless it has added that device, and the author has seen it."""
        place = self._places.get(addition, number)
        subject = self.entries[place].subject if past >> place & 1 else None
        if subject is None or subject.device != device:
            raise ProtocolError("keyring entry {number} removes a device that is no member", number=number)
        return place

    def _signing_key(self, entry: Entry) -> bytes:
        """The author's key. Raises ProtocolError if it never had the right to write this entry."""
        if entry.action == "found":
            assert entry.subject
            if entry.subject.device != entry.author or entry.subject.role != "owner":
                raise ProtocolError("keyring entry {number} is damaged", number=entry.place)
            return entry.subject.signing_key
        if entry.author == RECOVERY:
            return self.recovery_key
        known = [one.subject for one in self._additions.get(entry.author, ()) if one.subject and entry.follows(one)]
        if not known:
            raise ProtocolError("keyring entry {number} is not signed by a member", number=entry.place)
        if all(subject.role != "owner" for subject in known):
            raise ProtocolError("keyring entry {number} is signed by a member that is no owner", number=entry.place)
        return known[0].signing_key  # the same in all: a device's id follows from its keys


# Entries whose signature was right: a keyring is read again at each change, and checking a thousand takes 0.1 s.
_checked: set[tuple[bytes, bytes]] = set()
_MOST_CHECKED = 4096


def _is_signed(name: bytes, key: bytes, signed: Signed) -> bool:
    """Whether the entry with this hash is signed by this key."""
    if (name, key) in _checked:
        return True
    if not is_signed_by(key, bytes.fromhex(signed.signature), signed.signed_bytes):
        return False
    if len(_checked) >= _MOST_CHECKED:
        _checked.clear()
    _checked.add((name, key))
    return True


def _member(subject: Subject) -> Member:
    return Member(
        device=DeviceId(subject.device),
        name=subject.name,
        role=subject.role,
        signing_key=bytes.fromhex(subject.signing_key),
        curve_key=bytes.fromhex(subject.curve_key),
    )
