"""The recovery code of a cell: sixteen words on paper, and the one key that outranks every owner (`standing`).

It is made when the cell is founded. The founder's device keeps it until a person has written it down.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import RECOVERY_SECRET_BYTES
from cellmind_agent.storage.files import read_json, write_json
from cellmind_agent.trust.entries import RECOVERY
from cellmind_agent.trust.keyboard import latin_keys
from cellmind_agent.trust.words import WORDS, words_in

_EXAMPLE = "the code has 17 words; it was written down when `cellmindctl recovery` showed it"


@dataclass(frozen=True, slots=True)
class Recovery:
    """The secret behind a recovery code; it writes keyring entries as a device does."""

    secret: bytes  # 16 random bytes

    @property
    def device(self) -> DeviceId:
        """The author of its entries."""
        return RECOVERY

    @property
    def public(self) -> bytes:
        """The Ed25519 key, 32 bytes, that the founding entry names."""
        return self._key().public_key().public_bytes_raw()

    @property
    def code(self) -> str:
        """Sixteen words of eight bits, and one that shows typing errors."""
        return " ".join(WORDS[byte] for byte in (*self.secret, _check(self.secret)))

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of `data`, 64 bytes."""
        return self._key().sign(data)

    def _key(self) -> Ed25519PrivateKey:
        seed = HKDF(SHA256(), 32, salt=None, info=b"cellmind-recovery-1").derive(self.secret)
        return Ed25519PrivateKey.from_private_bytes(seed)


def new_recovery() -> Recovery:
    """A new random code."""
    return Recovery(secrets.token_bytes(RECOVERY_SECRET_BYTES))


def read_code(text: str) -> Recovery:
    """The code as a person types it, with anything or nothing between the words. Raises UsageError, which names a
    misspelt word and the word that is meant."""
    words = [word for part in re.findall(r"[^\W0-9_]+", latin_keys(text).lower()) for word in words_in(part)]
    for word in words:
        if word not in WORDS:
            close = difflib.get_close_matches(word, WORDS, n=1)
            hint = "did you mean {close}?" if close else _EXAMPLE
            raise UsageError("{word} is not a word of recovery codes", hint, word=word[:24], close="".join(close))
    numbers = bytes(WORDS.index(word) for word in words)
    secret, check = numbers[:-1], numbers[-1:]
    if len(secret) != RECOVERY_SECRET_BYTES or check != bytes([_check(secret)]):
        raise UsageError("that is not a recovery code", _EXAMPLE)
    return Recovery(secret)


def _check(secret: bytes) -> int:
    return hashlib.sha256(secret).digest()[0]


# -- on disk, until it is written down ---------------------------------------------------------------------------------


def keep_recovery(home: Path, recovery: Recovery) -> None:
    """Remember the code of a new cell. Raises StorageFullError."""
    write_json(_path(home), {"secret": recovery.secret.hex()})


def kept_recovery(home: Path) -> Recovery | None:
    """The code, if nobody has written it down yet. Raises CellmindError if the file is damaged."""
    if not _path(home).exists():
        return None
    plain = read_json(_path(home))
    try:
        secret = bytes.fromhex(plain["secret"])
    except (TypeError, KeyError, ValueError) as error:
        raise CellmindError("{path} is damaged", path=_path(home)) from error
    return Recovery(secret)


def forget_recovery(home: Path) -> None:
    """The code is on paper now."""
    _path(home).unlink(missing_ok=True)


def forget_other_recovery(home: Path, public_key: bytes) -> None:
    """Forget a code that is not the one of this public key: it is of a cell that this device has left, or damaged."""
    try:
        recovery = kept_recovery(home)
    except CellmindError:
        recovery = None
    if recovery is None or recovery.public != public_key:
        forget_recovery(home)


def _path(home: Path) -> Path:
    return home / "recovery.json"
