"""Ids of devices, runs and blobs. Owns their spelling; does not know which exist."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NewType

from cellmind_agent.protocol.errors import BadIdError
from cellmind_agent.protocol.limits import MAX_LABEL_CHARACTERS
from model.line.sentence import UNPRINTABLE

DeviceId = NewType("DeviceId", str)
RunId = NewType("RunId", str)
BlobId = NewType("BlobId", str)
BackendName = NewType("BackendName", str)

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_HALF = 15
_RUN = re.compile(r"[a-z0-9][a-z0-9-]{2,40}")
_BLOB = re.compile(r"[0-9a-f]{64}")
_BACKEND = re.compile(r"[a-z][a-z0-9-]{0,31}")

_SHORT_LENGTH = 7


def device_id(signing_key: bytes, curve_key: bytes) -> DeviceId:
    """The id of the device that holds these public keys: 150 bits of SHA-256 in base32, in two halves of 15
    characters, each followed by a check character (Luhn mod 32, as Syncthing's device ids)."""
    digest = hashlib.sha256(b"cellmind-device-1" + signing_key + curve_key).digest()
    text = base64.b32encode(digest).decode().lower()
    return DeviceId("".join(half + _check_character(half) for half in (text[:_HALF], text[_HALF : 2 * _HALF])))


def parse_device_id(text: str) -> DeviceId:
    """Read a device id as a person types it: any case, with or without dashes. Raises BadIdError."""
    cleaned = text.strip().lower().replace("-", "")
    size = _HALF + 1
    if len(cleaned) != 2 * size or any(c not in _ALPHABET for c in cleaned):
        raise BadIdError("{text} is not a device id", text=f"{printable(text, 60)!r}")
    for half in (cleaned[:size], cleaned[size:]):
        if _check_character(half[:-1]) != half[-1]:
            raise BadIdError(
                "{text} has a typing mistake: its check characters do not fit",
                text=f"{printable(text, 60)!r}",
            )
    return DeviceId(cleaned)


def short(identifier: str) -> str:
    """The first characters of an id, enough for people to tell devices apart."""
    return identifier[:_SHORT_LENGTH]


def parse_run_id(text: str) -> RunId:
    """Check a run id, which becomes the name of a folder. Raises BadIdError."""
    if not _RUN.fullmatch(text):
        raise BadIdError("{text} is not a run's name", text=f"{printable(text, 60)!r}")
    return RunId(text)


def parse_blob_id(text: str) -> BlobId:
    """Check a blob id: 64 lower-case hexadecimal digits (a SHA-256). Raises BadIdError."""
    if not _BLOB.fullmatch(text):
        raise BadIdError("{text} is not a blob's name", text=f"{printable(text, 80)!r}")
    return BlobId(text)


def is_backend_name(text: str) -> bool:
    """Whether `text` is spelt as the names of process groups are. A newer agent may know names that we do not."""
    return _BACKEND.fullmatch(text) is not None


def check_backend_name(text: str) -> None:
    """Raises ValueError for what is no name of a process group."""
    if not is_backend_name(text):
        raise ValueError(f"{printable(text, 60)!r} is not the name of a backend")


def check_work_name(text: str) -> None:
    """Raises ValueError for what does not name the work of a step: a SHA-256 in hexadecimal digits, or nothing."""
    if text and not _BLOB.fullmatch(text):
        raise ValueError(f"{printable(text, 80)!r} does not name the work of a step")


def printable(text: str, limit: int = MAX_LABEL_CHARACTERS) -> str:
    """`text` without control, bidirectional and invisible characters, cut to `limit` characters. Every label that
    comes from outside passes here before it is printed."""
    cleaned = UNPRINTABLE.sub("", text)
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def _check_character(text: str) -> str:
    """Luhn's algorithm mod 32: it notices every single wrong character and most swaps of two neighbours."""
    factor, total, n = 1, 0, len(_ALPHABET)
    for c in reversed(text):
        addend = factor * _ALPHABET.index(c)
        total += addend // n + addend % n
        factor = 2 if factor == 1 else 1
    return _ALPHABET[(-total) % n]
