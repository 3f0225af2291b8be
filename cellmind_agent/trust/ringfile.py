"""The keyring on disk: loaded, verified, and replaced as a whole. Makes no decision."""

from __future__ import annotations

from pathlib import Path

from cellmind_agent.protocol.errors import CellmindError, ProtocolError
from cellmind_agent.storage.files import read_json, write_json
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.keyring import Keyring, found_cell, verify


def load_keyring(home: Path, identity: Identity, name: str, time: float) -> Keyring:
    """The keyring of a home; if there is none, a new cell is founded. Raises CellmindError if the file is damaged."""
    path = home / "keyring.json"
    if not path.exists():
        keyring = found_cell(identity, name, time)
        save_keyring(home, keyring)
        return keyring
    plain = read_json(path)
    try:
        entries = tuple(entry.encode() for entry in plain["entries"])
        return verify(entries, frozenset(bytes.fromhex(stone) for stone in plain["tombstones"]))
    except (ProtocolError, TypeError, KeyError, ValueError, AttributeError) as error:
        hint = "remove {path} and join the cell again: cellmindctl join"
        raise CellmindError("{path} is damaged: {error}", hint, path=path, error=error) from error


def save_keyring(home: Path, keyring: Keyring) -> None:
    """Replace the file. Raises StorageFullError; then the old file stays."""
    write_json(
        home / "keyring.json",
        {
            "entries": [entry.decode() for entry in keyring.entries],
            "tombstones": sorted(stone.hex() for stone in keyring.tombstones),
        },
    )
