"""Names of things: device ids, run ids, blob ids. Knows how they are spelt, not who has them."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NewType

from cellmind_agent.protocol.errors import BadIdError

DeviceId = NewType("DeviceId", str)
RunId = NewType("RunId", str)
BlobId = NewType("BlobId", str)

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_HALF = 15
_RUN = re.compile(r"[a-z0-9][a-z0-9-]{2,40}")
_BLOB = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

SHORT_LENGTH = 7


def device_id(signing_key: bytes, curve_key: bytes) -> DeviceId:
    """The id of the device that holds these public keys: 150 bits of SHA-256 in base32, in two halves of 15
    characters, each followed by a check character (Luhn mod 32, as Syncthing's device ids)."""
    digest = hashlib.sha256(b"cellmind-device-1" + signing_key + curve_key).digest()
    text = base64.b32encode(digest).decode().lower()
    return DeviceId("".join(half + _check_character(half) for half in (text[:_HALF], text[_HALF : 2 * _HALF])))


def parse_device_id(text: str) -> DeviceId:
    """A device id as a person typed it (any case, dashes or not). Raises BadIdError on a wrong check character."""
    cleaned = text.strip().lower().replace("-", "")
    size = _HALF + 1
    if len(cleaned) != 2 * size or any(c not in _ALPHABET for c in cleaned):
        raise BadIdError(f"{printable(text, 60)!r} is not a device id")
    for half in (cleaned[:size], cleaned[size:]):
        if _check_character(half[:-1]) != half[-1]:
            raise BadIdError(f"{printable(text, 60)!r} has a typing mistake: its check characters do not fit")
    return DeviceId(cleaned)


def short(identifier: str) -> str:
    """The first characters of an id, enough for people."""
    return identifier[:SHORT_LENGTH]


def parse_run_id(text: str) -> RunId:
    """Raises BadIdError: a run id becomes a folder's name, so nothing else may pass."""
    if not _RUN.fullmatch(text):
        raise BadIdError(f"{printable(text, 60)!r} is not a run's name")
    return RunId(text)


def parse_blob_id(text: str) -> BlobId:
    """Raises BadIdError unless `text` is 64 lower-case hexadecimal digits (a SHA-256)."""
    if not _BLOB.fullmatch(text):
        raise BadIdError(f"{printable(text, 80)!r} is not a blob's name")
    return BlobId(text)


def printable(text: str, limit: int = 200) -> str:
    """`text` without control, bidirectional and invisible characters: labels from outside pass here before print."""
    cleaned = _CONTROL.sub("", text)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _check_character(text: str) -> str:
    factor, total, n = 1, 0, len(_ALPHABET)
    for c in reversed(text):
        addend = factor * _ALPHABET.index(c)
        total += addend // n + addend % n
        factor = 2 if factor == 1 else 1
    return _ALPHABET[(-total) % n]
