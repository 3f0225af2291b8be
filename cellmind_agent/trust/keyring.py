"""The keyring: a signed, hash-chained log of who belongs to the cell. Pure: entries in, members out.

An entry is canonical JSON `{"body": ..., "signature": hex}`. Entry 0 founds the cell and names its first owner; every
later entry carries the SHA-256 of the one before and is signed by an owner (a member may remove itself).

Two owners who write at once make a fork. Everybody chooses alike: the branch that removes an author of the other wins,
then the longer one, then the one whose head hash is smaller; who wrote an entry that lost writes it again. A removal,
once seen, stays: the addition that it revoked is remembered by its hash (a tombstone), whatever branch wins later (I5).
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

Actions = Literal["found", "add", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One device of the cell. `entry` is the hash of the entry that let it in."""

    device: DeviceId
    name: str
    role: Role
    signing_key: bytes
    curve_key: bytes
    entry: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """A verified log and what follows from it. `tombstones` are hashes of additions known to be revoked."""

    entries: tuple[bytes, ...]
    members: Mapping[DeviceId, Member]
    tombstones: frozenset[bytes]

    @property
    def cell(self) -> bytes:
        return entry_hash(self.entries[0])

    @property
    def head(self) -> bytes:
        return entry_hash(self.entries[-1])

    def by_curve_key(self, key: bytes) -> Member | None:
        return next((member for member in self.members.values() if member.curve_key == key), None)


def entry_hash(entry: bytes) -> bytes:
    return hashlib.sha256(entry).digest()


def found_cell(identity: Identity, name: str, time: float) -> Keyring:
    """A cell of one: every device begins so."""
    subject = Member(
        device=identity.device,
        name=clean_name(name),
        role="owner",
        signing_key=identity.signing_public,
        curve_key=identity.curve.public,
    )
    return verify((_signed(identity, 0, b"", "found", subject, time),))


def add_member(keyring: Keyring, identity: Identity, member: Member, time: float) -> Keyring:
    """Raises NotAllowedError when this device is no owner, or the other is already in."""
    if member.device in keyring.members:
        raise NotAllowedError(f"{member.name} is already in the cell", "cellmindctl peers")
    return _extended(keyring, identity, "add", member, time)


def remove_member(keyring: Keyring, identity: Identity, device: DeviceId, time: float) -> Keyring:
    """Raises NotAllowedError when this device is no owner (and not the removed one itself)."""
    return _extended(keyring, identity, "remove", keyring.members[device], time)


def verify(entries: Sequence[bytes], tombstones: frozenset[bytes] = frozenset()) -> Keyring:
    """The keyring that these entries make. Raises ProtocolError at the first that does not follow from those before."""
    if not 1 <= len(entries) <= MAX_KEYRING_ENTRIES:
        raise ProtocolError(f"a keyring of {len(entries)} entries")
    members: dict[DeviceId, Member] = {}
    revoked = set(tombstones)
    previous = b""
    for number, entry in enumerate(entries):
        action, author, subject = _read_entry(entry, number, previous)
        signer = subject if action == "found" else members.get(author)
        body, signature = _split(entry)
        if signer is None or not is_signed_by(signer.signing_key, signature, body):
            raise ProtocolError(f"keyring entry {number} is not signed by a member")
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
    alive = {device: member for device, member in members.items() if member.entry not in revoked}
    return Keyring(entries=tuple(entries), members=alive, tombstones=frozenset(revoked))


def merge(own: Keyring, offered: Sequence[bytes]) -> Keyring:
    """The keyring after seeing another's log. Raises ProtocolError if it is false or of another cell."""
    if tuple(offered) == own.entries:
        return own
    if not offered or offered[0] != own.entries[0]:
        raise ProtocolError("a keyring of another cell")
    other = verify(offered)
    tombstones = own.tombstones | other.tombstones
    winner = own if _wins(own, other) else other
    return verify(winner.entries, tombstones)


def lost_entries(own: Keyring, merged: Keyring, author: DeviceId) -> list[tuple[Actions, Member]]:
    """What `author` had written in the branch that lost: to be written again where it still makes sense."""
    kept = set(merged.entries)
    lost: list[tuple[Actions, Member]] = []
    for entry in own.entries:
        if entry in kept:
            continue
        body = json.loads(entry)["body"]
        if body["author"] == author:
            lost.append((body["action"], _subject(body["subject"])))
    return lost


def clean_name(name: str) -> str:
    """A device's name as it may stand on a screen."""
    return printable(" ".join(name.split()), MAX_NAME_CHARACTERS) or "device"


def _wins(own: Keyring, other: Keyring) -> bool:
    fork = next(
        (i for i, (a, b) in enumerate(zip(own.entries, other.entries, strict=False)) if a != b),
        min(len(own.entries), len(other.entries)),
    )
    own_removes_author = bool(_removed(own, fork) & _authors(other, fork))
    other_removes_author = bool(_removed(other, fork) & _authors(own, fork))
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


def _extended(keyring: Keyring, identity: Identity, action: Actions, subject: Member, time: float) -> Keyring:
    me = keyring.members.get(identity.device)
    leaves = action == "remove" and subject.device == identity.device
    if me is None or (me.role != "owner" and not leaves):
        raise NotAllowedError("only an owner of the cell may change who belongs to it")
    entry = _signed(identity, len(keyring.entries), keyring.head, action, subject, time)
    return verify((*keyring.entries, entry), keyring.tombstones)


def _signed(identity: Identity, number: int, previous: bytes, action: Actions, subject: Member, time: float) -> bytes:
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


def _read_entry(entry: bytes, number: int, previous: bytes) -> tuple[Actions, DeviceId, Member]:
    try:
        plain = json.loads(entry)
        body = plain["body"]
        subject = _subject(body["subject"])
        action, author = body["action"], DeviceId(body["author"])
        bytes.fromhex(plain["signature"])
        right_place = body["number"] == number and body["previous"] == previous.hex()
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"keyring entry {number} makes no sense") from error
    if _canonical(plain) != entry or not right_place:
        raise ProtocolError(f"keyring entry {number} is out of its place")
    if action not in ("found", "add", "remove") or (action == "found") != (number == 0):
        raise ProtocolError(f"keyring entry {number} does {printable(str(action), 20)!r}")
    return action, author, subject


def _subject(plain: Any) -> Member:
    signing_key, curve_key = bytes.fromhex(plain["signing_key"]), bytes.fromhex(plain["curve_key"])
    device, name, role = plain["device"], plain["name"], plain["role"]
    if role not in ("owner", "member") or not isinstance(name, str) or clean_name(name) != name:
        raise ValueError("a member with a bad role or name")
    if device != device_id(signing_key, curve_key):
        raise ValueError("a member whose id does not follow from its keys")
    return Member(device=device, name=name, role=role, signing_key=signing_key, curve_key=curve_key)


def _check_right(
    action: Actions, number: int, signer: Member, subject: Member, members: Mapping[DeviceId, Member]
) -> None:
    leaves = action == "remove" and signer.device == subject.device
    if signer.role != "owner" and not leaves:
        raise ProtocolError(f"keyring entry {number} is signed by a mere member")
    if action == "add" and subject.device in members:
        raise ProtocolError(f"keyring entry {number} adds a device twice")
    if action == "remove" and subject.device not in members:
        raise ProtocolError(f"keyring entry {number} removes a stranger")
