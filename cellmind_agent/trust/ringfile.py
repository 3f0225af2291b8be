"""The keyring on disk: loaded, verified, and replaced as a whole. Makes no decision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.protocol.errors import CellmindError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.storage.files import read_json, write_json
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.keyring import Keyring, counting_additions, found_cell, verify
from cellmind_agent.trust.recovery import forget_other_recovery, keep_recovery, new_recovery


def load_keyring(home: Path, identity: Identity, name: str, time: float) -> Keyring:
    """The keyring of a home; if there is none, a new cell is founded. Raises CellmindError if the file is damaged."""
    return _load(home / "keyring.json") or new_cell(home, identity, name, time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The keyring of the cell that has removed this device, and the entries by which it had been a member there."""

    keyring: Keyring
    additions: tuple[bytes, ...]

    def has_ended(self, device: DeviceId) -> bool:
        """Whether the removal of this device counts no longer. An addition that came later is no return: nobody at this
        device has agreed to it."""
        return bool(set(self.additions) & set(counting_additions(self.keyring, device)))


def load_left(home: Path) -> Left | None:
    """The cell that has removed this device. Raises CellmindError if the file is damaged."""
    path = home / "left.json"
    keyring = _load(path)
    if keyring is None:
        return None
    additions = read_json(path).get("additions", [])
    return Left(keyring=keyring, additions=tuple(bytes.fromhex(addition) for addition in additions))


def save_left(home: Path, left: Left | None) -> None:
    """Remember the cell that has removed this device, or no cell. Raises StorageFullError; then the old file stays."""
    if left:
        write_json(home / "left.json", {**_plain(left.keyring), "additions": [one.hex() for one in left.additions]})
    else:
        (home / "left.json").unlink(missing_ok=True)


def new_cell(home: Path, identity: Identity, name: str, time: float) -> Keyring:
    """Found a cell of this device alone, and write down its keyring and its recovery code. Raises StorageFullError."""
    recovery = new_recovery()
    keep_recovery(home, recovery)  # first: a cell whose code was lost would have none
    keyring = found_cell(identity, name, time, recovery.public)
    save_keyring(home, keyring)
    return keyring


def save_keyring(home: Path, keyring: Keyring) -> None:
    """Replace the file, and forget the recovery code of another cell. Raises StorageFullError: the old file stays."""
    write_json(home / "keyring.json", _plain(keyring))
    forget_other_recovery(home, keyring.recovery_key)


def _plain(keyring: Keyring) -> dict[str, list[str]]:
    return {"entries": [entry.decode() for entry in keyring.entries]}


def _load(path: Path) -> Keyring | None:
    if not path.exists():
        return None
    plain = read_json(path)
    try:
        return verify(tuple(entry.encode() for entry in plain["entries"]))
    except (ProtocolError, TypeError, KeyError, ValueError, AttributeError) as error:
        hint = "remove {path} and join the cell again: cellmindctl join"
        raise CellmindError("{path} is damaged: {error}", hint, path=path, error=error) from error
