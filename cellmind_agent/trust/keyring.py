"""The keyring: the signed entries that say who belongs to a cell, and the members by them. Entries in, members out.

Keyrings of one cell only grow: to merge two of them is to keep the entries of both (`entries`), and which entries count
is decided again, from all of them (`standing`). So a removal that is known stays in force (I5), and no branch is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from cellmind_agent.protocol.errors import NotAllowedError, ProtocolError, StorageFullError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_KEYRING_BYTES, MAX_KEYRING_ENTRIES
from cellmind_agent.trust.entries import (
    RECOVERY,
    Author,
    Member,
    adding_entry,
    clean_name,
    entry_hash,
    founding_entry,
    removing_entry,
)
from cellmind_agent.trust.entry_log import Entry, Log, read_log
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.standing import LAST_RANK, Rank, Standing, contradictions, judge

_SHARES = 4  # into which a keyring that is too large is divided


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something that owners should look at. `device` wrote entries that do not count (`ignored`), or entries that
    contradict each other (`copied`: its keys are used on two machines)."""

    kind: Literal["ignored", "copied"]
    device: DeviceId
    name: str
    num_entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Verified entries, each after those that it follows, and what follows from them."""

    entries: tuple[bytes, ...]
    heads: tuple[bytes, ...]  # what the next entry will follow: all entries that count
    members: Mapping[DeviceId, Member]
    alarms: tuple[Alarm, ...]
    recovery_key: bytes  # of the recovery code; empty: the cell has none

    @property
    def cell(self) -> bytes:
        """The hash that names the cell."""
        return entry_hash(self.entries[0])

    @property
    def head(self) -> bytes:
        """SHA-256 of the hashes of all entries: two keyrings with the same head are the same."""
        return hashlib.sha256(b"".join(entry_hash(entry) for entry in self.entries)).digest()

    def by_curve_key(self, key: bytes) -> Member | None:
        """The member whose links are encrypted with this key."""
        return next((member for member in self.members.values() if member.curve_key == key), None)


def found_cell(identity: Identity, name: str, time: float, recovery_key: bytes = b"") -> Keyring:
    """A cell with this device as its only member: every device starts like this. `time` is in seconds since 1970.

    `recovery_key` is the public key of its recovery code; without one, nobody can remove the founder.
    """
    subject = Member(
        device=identity.device,
        name=clean_name(name),
        role="owner",
        signing_key=identity.signing_public,
        curve_key=identity.curve.public,
    )
    return verify((founding_entry(identity, subject, recovery_key, time),))


def add_member(keyring: Keyring, author: Author, member: Member, time: float) -> Keyring:
    """The keyring with one more member. Raises NotAllowedError if the author is no owner, or the other is a member;
    StorageFullError if no entry has room, as in all functions that add one."""
    if member.device in keyring.members:
        raise NotAllowedError("{member} is already in the cell", "cellmindctl peers", member=member.name)
    _check_owner(keyring, author)
    return _extended(keyring, adding_entry(author, keyring.heads, member, time))


def make_owner(keyring: Keyring, author: Author, device: DeviceId, time: float) -> Keyring:
    """The keyring in which a member is an owner. Raises NotAllowedError if the author is no owner."""
    _check_owner(keyring, author)
    member = replace(keyring.members[device], role="owner")
    return _extended(keyring, adding_entry(author, keyring.heads, member, time))


def remove_member(keyring: Keyring, author: Author, device: DeviceId, time: float) -> Keyring:
    """The keyring without a member. Raises NotAllowedError if the author may not remove it."""
    _check_owner(keyring, author)
    log = read_log(keyring.entries)
    counting = judge(log).counting
    additions = [log.entries[place] for place in counting if _is_of(log.entries[place], device)]
    removal = removing_entry(author, keyring.heads, device, [one.hash for one in additions], time)
    removed = _extended(keyring, removal)
    if device in removed.members:
        raise NotAllowedError(
            "{member} is an owner that has more seniority than this device",
            "run it on a device that was an owner earlier, or with the recovery code: cellmindctl forget --recovery",
            member=keyring.members[device].name,
        )
    return removed


def _is_of(entry: Entry, device: DeviceId) -> bool:
    return entry.subject is not None and entry.subject.device == device


def counting_additions(keyring: Keyring, device: DeviceId) -> tuple[bytes, ...]:
    """The hashes of the entries by which a device is a member."""
    return tuple(entry.hash for entry in judge(read_log(keyring.entries)).members.get(device, ()))


def verify(entries: Iterable[bytes]) -> Keyring:
    """The keyring of these entries, in any order. Raises ProtocolError if one of them is not valid.

    Of too many entries it keeps some of each author, with all that they follow: so nobody can fill it against the
    founder, or drive out what others wrote before, and devices that received different parts of a flood still agree.
    """
    log = read_log(entries)
    standing = judge(log)
    kept = _within_limits(log, standing)
    if len(kept) < len(log.entries):
        log = read_log(kept)
        standing = judge(log)
    return Keyring(
        entries=tuple(entry.data for entry in log.entries),
        heads=log.heads(standing.counting),  # nothing makes an entry stay that does not count
        members={device: _member(additions[0]) for device, additions in standing.members.items()},
        alarms=tuple(_alarms(log, standing)),
        recovery_key=log.recovery_key,
    )


def merge(own: Keyring, offered: Sequence[bytes]) -> Keyring:
    """The keyring after entries were offered. Raises ProtocolError if they are invalid or of another cell."""
    if own.entries[0] not in offered:
        raise ProtocolError("the keyring belongs to another cell")
    entries = {*own.entries, *offered}
    return own if len(entries) == len(own.entries) else verify(entries)


def _extended(keyring: Keyring, entry: bytes) -> Keyring:
    """With one more entry. Raises StorageFullError if it has no room."""
    extended = verify((*keyring.entries, entry))
    if entry not in extended.entries:
        raise StorageFullError(
            "the keyring is full",
            "on the device that founded the cell, remove devices that you do not know: cellmindctl peers",
        )
    return extended


def _check_owner(keyring: Keyring, author: Author) -> None:
    me = keyring.members.get(author.device)
    if author.device != RECOVERY and (me is None or me.role != "owner"):
        raise NotAllowedError(
            "only an owner of the cell may change who belongs to it",
            "run it on an owner's device, or with the recovery code: cellmindctl forget DEVICE --recovery",
        )


def _within_limits(log: Log, standing: Standing) -> list[bytes]:
    """The entries to keep. The founder and the recovery code have places of their own."""
    reserved = {RECOVERY, log.entries[0].author}
    if _is_small([entry for entry in log.entries if entry.author not in reserved]):
        return [entry.data for entry in log.entries]

    turns = {
        entry.place: turn
        for entries in log.by_author().values()
        for turn, entry in enumerate(sorted(entries, key=lambda one: (one.num_before, one.hash)))
    }

    def order(entry: Entry) -> tuple[bool, bool, bool, bool, Rank, int, bytes]:
        """Removals first. Then senior authors, but none may take all the room: what exceeds a share comes last."""
        turn, is_ignored = turns[entry.place], entry.place not in standing.counting
        exceeds = turn >= MAX_KEYRING_ENTRIES // _SHARES
        rank = standing.ranks.get(entry.author, LAST_RANK)
        is_addition = entry.action != "remove"
        return entry.author not in reserved, is_ignored, exceeds, is_addition, rank, turn, entry.hash

    kept = num_others = num_bytes = 0
    for entry in sorted(log.entries, key=order):
        added = log.at((entry.past | 1 << entry.place) & ~kept)
        others = [len(one.data) for one in added if one.author not in reserved]
        is_small = num_others + len(others) <= MAX_KEYRING_ENTRIES and num_bytes + sum(others) <= MAX_KEYRING_BYTES
        if entry.author in reserved or is_small:
            kept |= entry.past | 1 << entry.place
            num_others, num_bytes = num_others + len(others), num_bytes + sum(others)
    return [entry.data for entry in log.at(kept)]


def _is_small(entries: Sequence[Entry]) -> bool:
    return len(entries) <= MAX_KEYRING_ENTRIES and sum(len(entry.data) for entry in entries) <= MAX_KEYRING_BYTES


def _member(addition: Entry) -> Member:
    assert addition.subject
    return replace(addition.subject, entry=addition.hash)


def _alarms(log: Log, standing: Standing) -> list[Alarm]:
    names = {entry.subject.device: entry.subject.name for entry in log.entries if entry.subject}
    ignored: dict[DeviceId, int] = {}
    for entry in log.entries:
        if entry.place not in standing.counting:
            ignored[entry.author] = ignored.get(entry.author, 0) + 1
    found = [
        Alarm(kind="ignored", device=device, name=names.get(device, device), num_entries=count)
        for device, count in ignored.items()
    ]
    for device in contradictions(log):
        count = sum(entry.author == device for entry in log.entries)
        found.append(Alarm(kind="copied", device=device, name=names.get(device, device), num_entries=count))
    return found
