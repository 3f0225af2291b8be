"""One entry of a keyring: who was added or removed, by whom, and after which other entries. Pure.

An entry is canonical JSON (sorted keys, no spaces, ASCII): the body, and its author's Ed25519 signature of the body.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.ids import DeviceId, device_id, printable
from cellmind_agent.protocol.limits import MAX_ENTRY_BYTES, MAX_NAME_CHARACTERS
from cellmind_agent.protocol.messages import Role
from cellmind_agent.protocol.plain import from_plain, to_plain

Action = Literal["found", "add", "remove"]
_KEY_LENGTH, _SIGNATURE_LENGTH = 32, 64  # in bytes
RECOVERY = DeviceId("recovery")  # the author of entries that the recovery code has signed; no device id looks like it


class Author(Protocol):
    """A device's identity, or the recovery code of a cell."""

    @property
    def device(self) -> DeviceId: ...
    def sign(self, data: bytes) -> bytes: ...


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
class Subject:
    """A device as an entry describes it. Raises ValueError for a bad name, or an id that is not of these keys."""

    device: str
    name: str
    role: Role
    signing_key: str
    curve_key: str

    def __post_init__(self) -> None:
        if clean_name(self.name) != self.name:
            raise ValueError("a bad name")
        signing_key, curve_key = _from_hex(self.signing_key, _KEY_LENGTH), _from_hex(self.curve_key, _KEY_LENGTH)
        if self.device != device_id(signing_key, curve_key):
            raise ValueError("an id that does not follow from the keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What an author signs. Hashes and keys are hexadecimal. Raises ValueError if its parts do not fit each other."""

    action: Action
    author: str
    parents: tuple[str, ...]  # the newest entries that the author had, sorted; empty only in `found`
    time: int  # seconds since 1970
    subject: Subject | None = None  # of `found` and `add`
    device: str = ""  # of `remove`
    revokes: tuple[str, ...] = ()  # of `remove`: the entries that added the device
    recovery: str = ""  # of `found`: the public key of the recovery code; empty: there is none

    def __post_init__(self) -> None:
        is_removal = self.action == "remove"
        fits = (
            (self.subject is None) == is_removal == bool(self.device) == bool(self.revokes)
            and (self.action == "found") == (not self.parents)
            and (self.action == "found" or not self.recovery)
            and list(self.parents) == sorted(set(self.parents))
            and list(self.revokes) == sorted(set(self.revokes))
            and (not self.recovery or bool(_from_hex(self.recovery, _KEY_LENGTH)))
        )
        if not fits:
            raise ValueError("parts that do not fit each other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A body with its signature, which nobody has checked yet."""

    body: Body
    signature: str

    def __post_init__(self) -> None:
        # Bytes have many spellings in hexadecimal. Were they all valid, anybody could write an entry of somebody else
        # once more, with another hash.
        _from_hex(self.signature, _SIGNATURE_LENGTH)

    @property
    def signed_bytes(self) -> bytes:
        """What the signature is of."""
        return _canonical(self.body)


def entry_hash(entry: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(entry).digest()


def clean_name(name: str) -> str:
    """A device's name without characters that would disturb a screen, at most MAX_NAME_CHARACTERS long."""
    return printable(" ".join(name.split()), MAX_NAME_CHARACTERS) or "device"


def parse_entry(data: bytes) -> Signed:
    """Raises ProtocolError if it is damaged or not canonical: with two spellings, one entry would have two hashes."""
    if len(data) > MAX_ENTRY_BYTES:
        raise ProtocolError("a keyring entry is damaged")
    try:
        signed = from_plain(Signed, json.loads(data))
    except (ProtocolError, ValueError, RecursionError) as error:
        raise ProtocolError("a keyring entry is damaged") from error
    if _canonical(signed) != data:
        raise ProtocolError("a keyring entry is damaged")
    return signed


def founding_entry(author: Author, subject: Member, recovery_key: bytes, time: float) -> bytes:
    """The first entry of a cell; `recovery_key` may be empty."""
    body = Body(
        action="found",
        author=author.device,
        parents=(),
        time=int(time),
        subject=_subject(subject),
        recovery=recovery_key.hex(),
    )
    return _signed(author, body)


def adding_entry(author: Author, parents: Iterable[bytes], subject: Member, time: float) -> bytes:
    """An entry that adds a device."""
    body = Body(action="add", author=author.device, parents=_hashes(parents), time=int(time), subject=_subject(subject))
    return _signed(author, body)


def removing_entry(
    author: Author, parents: Iterable[bytes], device: DeviceId, revokes: Iterable[bytes], time: float
) -> bytes:
    """An entry that removes a device; `revokes` are the hashes of the entries that added it."""
    body = Body(
        action="remove",
        author=author.device,
        parents=_hashes(parents),
        time=int(time),
        device=device,
        revokes=_hashes(revokes),
    )
    return _signed(author, body)


def _signed(author: Author, body: Body) -> bytes:
    return _canonical(Signed(body=body, signature=author.sign(_canonical(body)).hex()))


def _subject(member: Member) -> Subject:
    return Subject(
        device=member.device,
        name=member.name,
        role=member.role,
        signing_key=member.signing_key.hex(),
        curve_key=member.curve_key.hex(),
    )


def _from_hex(text: str, length: int) -> bytes:
    """The bytes of this length that `text` spells in the one valid way. Raises ValueError."""
    data = bytes.fromhex(text)
    if len(data) != length or data.hex() != text:
        raise ValueError("no canonical hexadecimal of the right length")
    return data


def _hashes(hashes: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(one.hex() for one in hashes))


def _canonical(value: Body | Signed) -> bytes:
    return json.dumps(to_plain(value), ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()
