"""The keyring: a signed, hash-chained log of the members of a cell. Pure: entries in, members out.

An entry is canonical JSON `{"body": ..., "signature": hex}`. Entry 0 founds the cell and names its first owner. Every
later entry carries the SHA-256 of the previous one and is signed by an owner (a member may remove itself).

If two owners write at the same time, the log forks, and every device chooses the same branch: the one that removes an
author of the other; else the longer one; else the one whose head is smaller. The author of an entry that lost writes it
again. A removal, once seen, stays in force in any branch: the hash of the addition that it revoked is remembered, as a
tombstone (I5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cellmind_agent.protocol.errors import NotAllowedError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId, device_id, printable
from cellmind_agent.protocol.limits import MAX_KEYRING_ENTRIES, MAX_NAME_CHARACTERS
from cellmind_agent.protocol.messages import Role
from cellmind_agent.trust.identity import Identity, is_signed_by

Action = Literal["found", "add", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One device of the cell. `entry` is the hash of the entry that added it."""

    device: DeviceId
    name: str
    role: Role
    signing_key: bytes
    curve_key: bytes
    entry: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """A verified log and its members. `tombstones` are the hashes of additions that were revoked in any branch."""

    entries: tuple[bytes, ...]
    members: Mapping[DeviceId, Member]
    tombstones: frozenset[bytes]

    @property
    def cell(self) -> bytes:
        """The hash that names the cell."""
        return entry_hash(self.entries[0])

    @property
    def head(self) -> bytes:
        """The hash of the last entry: two keyrings with the same head are the same."""
        return entry_hash(self.entries[-1])

    def by_curve_key(self, key: bytes) -> Member | None:
        """The member whose links are encrypted with this key."""
        return next((member for member in self.members.values() if member.curve_key == key), None)


def entry_hash(entry: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(entry).digest()


def found_cell(identity: Identity, name: str, time: float) -> Keyring:
    """A cell with this device as its only member: every device starts like this. `time` is in seconds since 1970."""
    subject = Member(
        device=identity.device,
        name=clean_name(name),
        role="owner",
        signing_key=identity.signing_public,
        curve_key=identity.curve.public,
    )
    return verify((_signed(identity, 0, b"", "found", subject, time),))


def add_member(keyring: Keyring, identity: Identity, member: Member, time: float) -> Keyring:
    """The keyring with one more member. Raises NotAllowedError if this device is no owner, or the other is a member."""
    if member.device in keyring.members:
        raise NotAllowedError("{member} is already in the cell", "cellmindctl peers", member=member.name)
    return _extended(keyring, identity, "add", member, time)


def remove_member(keyring: Keyring, identity: Identity, device: DeviceId, time: float) -> Keyring:
    """The keyring without a member. Raises NotAllowedError if this device is neither an owner nor the removed one."""
    return _extended(keyring, identity, "remove", keyring.members[device], time)


def verify(entries: Sequence[bytes], tombstones: frozenset[bytes] = frozenset()) -> Keyring:
    """The keyring of these entries. Raises ProtocolError if an entry is not valid after those before it."""
    if not 1 <= len(entries) <= MAX_KEYRING_ENTRIES:
        raise ProtocolError(
            "a keyring has 1 to {most} entries, and this one has {num_entries}",
            most=MAX_KEYRING_ENTRIES,
            num_entries=len(entries),
        )
    members: dict[DeviceId, Member] = {}
    revoked = set(tombstones)
    previous = b""
    for number, entry in enumerate(entries):
        action, author, subject = _read_entry(entry, number, previous)
        # The founder signs for itself, since nobody is a member yet.
        signer = subject if action == "found" else members.get(author)
        body, signature = _split(entry)
        if signer is None or not is_signed_by(signer.signing_key, signature, body):
            raise ProtocolError("keyring entry {number} is not signed by a member", number=number)
        _check_right(action, number, signer, subject, members)
        previous = entry_hash(entry)
        if action == "remove":
            revoked.add(members.pop(subject.device).entry)
        else:
            members[subject.device] = Member(
                device=subject.device,
                name=subject.name,
                role=subject.role,
                signing_key=subject.signing_key,
                curve_key=subject.curve_key,
                entry=previous,
            )
    # An addition that was revoked in another branch stays revoked here (I5).
    alive = {device: member for device, member in members.items() if member.entry not in revoked}
    return Keyring(entries=tuple(entries), members=alive, tombstones=frozenset(revoked))


def merge(own: Keyring, offered: Sequence[bytes]) -> Keyring:
    """The keyring after a log was offered. Raises ProtocolError if the log is invalid or of another cell."""
    if tuple(offered) == own.entries:
        return own
    if not offered or offered[0] != own.entries[0]:
        raise ProtocolError("the keyring belongs to another cell")
    other = verify(offered)
    tombstones = own.tombstones | other.tombstones
    winner = own if _wins(own, other) else other
    return verify(winner.entries, tombstones)


def lost_entries(own: Keyring, merged: Keyring, author: DeviceId) -> list[tuple[Action, Member]]:
    """The entries of `author` in the branch that lost, which it writes again if they still make sense."""
    kept = set(merged.entries)
    lost: list[tuple[Action, Member]] = []
    for entry in own.entries:
        if entry in kept:
            continue
        body = json.loads(entry)["body"]
        if body["author"] == author:
            lost.append((body["action"], _subject(body["subject"])))
    return lost


def clean_name(name: str) -> str:
    """A device's name without characters that would disturb a screen, at most MAX_NAME_CHARACTERS long."""
    return printable(" ".join(name.split()), MAX_NAME_CHARACTERS) or "device"


def _wins(own: Keyring, other: Keyring) -> bool:
    fork = next(
        (i for i, (a, b) in enumerate(zip(own.entries, other.entries, strict=False)) if a != b),
        min(len(own.entries), len(other.entries)),
    )
    own_removes_author = bool(_removed(own, fork) & _authors(other, fork))
    other_removes_author = bool(_removed(other, fork) & _authors(own, fork))
    # A removed owner must not undo its removal by writing a longer branch.
    if own_removes_author != other_removes_author:
        return own_removes_author
    if len(own.entries) != len(other.entries):
        return len(own.entries) > len(other.entries)
    return own.head <= other.head


def _authors(keyring: Keyring, start: int) -> set[str]:
    return {json.loads(entry)["body"]["author"] for entry in keyring.entries[start:]}


def _removed(keyring: Keyring, start: int) -> set[str]:
    bodies = [json.loads(entry)["body"] for entry in keyring.entries[start:]]
    return {body["subject"]["device"] for body in bodies if body["action"] == "remove"}


def _extended(keyring: Keyring, identity: Identity, action: Action, subject: Member, time: float) -> Keyring:
    me = keyring.members.get(identity.device)
    leaves = action == "remove" and subject.device == identity.device
    if me is None or (me.role != "owner" and not leaves):
        raise NotAllowedError("only an owner of the cell may change who belongs to it")
    entry = _signed(identity, len(keyring.entries), keyring.head, action, subject, time)
    return verify((*keyring.entries, entry), keyring.tombstones)


def _signed(identity: Identity, number: int, previous: bytes, action: Action, subject: Member, time: float) -> bytes:
    body = {
        "number": number,
        "previous": previous.hex(),
        "action": action,
        "author": identity.device,
        "time": int(time),
        "subject": {
            "device": subject.device,
            "name": subject.name,
            "role": subject.role,
            "signing_key": subject.signing_key.hex(),
            "curve_key": subject.curve_key.hex(),
        },
    }
    signature = identity.sign(_canonical(body))
    return _canonical({"body": body, "signature": signature.hex()})


def _canonical(plain: Any) -> bytes:
    return json.dumps(plain, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def _split(entry: bytes) -> tuple[bytes, bytes]:
    plain = json.loads(entry)
    return _canonical(plain["body"]), bytes.fromhex(plain["signature"])


def _read_entry(entry: bytes, number: int, previous: bytes) -> tuple[Action, DeviceId, Member]:
    try:
        plain = json.loads(entry)
        body = plain["body"]
        subject = _subject(body["subject"])
        action, author = body["action"], DeviceId(body["author"])
        bytes.fromhex(plain["signature"])
        is_in_place = body["number"] == number and body["previous"] == previous.hex()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError("keyring entry {number} is damaged", number=number) from error
    # Only the canonical form is valid: with two spellings, one entry would have two hashes.
    if _canonical(plain) != entry or not is_in_place:
        raise ProtocolError("keyring entry {number} is in the wrong place, or not canonical", number=number)
    if action not in ("found", "add", "remove") or (action == "found") != (number == 0):
        raise ProtocolError(
            "keyring entry {number} has the action {text}",
            number=number,
            text=f"{printable(str(action), 20)!r}",
        )
    return action, author, subject


def _subject(plain: Any) -> Member:
    signing_key, curve_key = bytes.fromhex(plain["signing_key"]), bytes.fromhex(plain["curve_key"])
    device, name, role = plain["device"], plain["name"], plain["role"]
    if role not in ("owner", "member") or not isinstance(name, str) or clean_name(name) != name:
        raise ValueError("the member has a bad role or name")
    if device != device_id(signing_key, curve_key):
        raise ValueError("the member's id does not follow from its keys")
    return Member(device=device, name=name, role=role, signing_key=signing_key, curve_key=curve_key)


def _check_right(
    action: Action, number: int, signer: Member, subject: Member, members: Mapping[DeviceId, Member]
) -> None:
    leaves = action == "remove" and signer.device == subject.device
    if signer.role != "owner" and not leaves:
        raise ProtocolError("keyring entry {number} is signed by a member that is no owner", number=number)
    if action == "add" and subject.device in members:
        raise ProtocolError("keyring entry {number} adds a device twice", number=number)
    if action == "remove" and subject.device not in members:
        raise ProtocolError("keyring entry {number} removes a device that is no member", number=number)
