"""names.json: keyed hashes of the names that were hidden in a folder, so that a tokenizer can be checked for them.

A hash is enough to recognise a name, but not to read it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from tokenizer.corpus.prepared_files import NAMES
from tokenizer.files import write_whole


class HiddenNames:
    """The hidden names of one folder."""

    def __init__(self, salt: str, hashes: Iterable[str] = ()) -> None:
        self._salt, self._hashes = salt, set(hashes)

    def add(self, names: Iterable[str]) -> None:
        """Add the hashes of these names."""
        self._hashes |= {self._hash(name) for name in names}

    def __contains__(self, name: str) -> bool:
        return self._hash(name) in self._hashes

    def write(self, folder: Path) -> None:
        """Write the folder's names.json. Raises OSError."""
        plain = {"salt": self._salt, "hashes": sorted(self._hashes)}
        write_whole(folder / NAMES, json.dumps(plain).encode())

    def _hash(self, name: str) -> str:
        # The key is secret to nobody who has the folder. It makes tables of hashes of common names useless.
        return hashlib.blake2b(name.encode(), key=self._salt.encode(), digest_size=8).hexdigest()


def new_hidden_names() -> HiddenNames:
    """No names, with a new salt."""
    return HiddenNames(secrets.token_hex(16))


def read_hidden_names(folder: Path) -> HiddenNames:
    """Read the folder's names.json. Raises OSError, and ValueError if it is damaged."""
    plain = json.loads((folder / NAMES).read_bytes())
    try:
        return HiddenNames(plain["salt"], plain["hashes"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / NAMES} is damaged") from error
