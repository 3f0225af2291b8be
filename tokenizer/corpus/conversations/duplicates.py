"""Fingerprints of documents, which find exact and near duplicates. Pure.

Duplicates come from the same export prepared twice, from a longer export of the same room, and from forwarded texts.
Near duplicates: MinHash (Broder 1997) over shingles of five characters, of which it samples every eighth (his mod-m
sampling), with bands as in Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4. Two of the 4 bands
of 8 hashes must be equal. This finds nine of ten documents that share 95 % of their shingles, and six of ten that
share 90 %. Of pairs that share a half, one in ten thousand counts as a duplicate by mistake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BANDS: Final = 4
_HASHES_PER_BAND: Final = 8
_SHINGLE_CHARACTERS: Final = 5
_SAMPLING: Final = 8  # every eighth shingle; a power of two
_MIN_SHINGLES: Final = 16  # shorter texts are equal by chance, or because people repeat themselves
_BEGINNING_CHARACTERS: Final = 48
_PRIME: Final = np.uint64(0x100000001B3)
_SHORT_PRIME: Final = np.uint32(0x01000193)
_MULTIPLIERS: Final = (np.arange(1, BANDS * _HASHES_PER_BAND + 1, dtype=np.uint32) * np.uint32(0x9E3779B9)) | np.uint32(
    1
)
Hashes = npt.NDArray[np.uint64]


def exact_hash(text: bytes) -> int:
    """A hash of 64 bits of a text in UTF-8."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def beginning_hash(text: str) -> int:
    """A hash of the first characters of a text.

    A later export continues the conversation at which an earlier export ended, so both begin the same.
    """
    return exact_hash(text[:_BEGINNING_CHARACTERS].encode())


def near_hashes(texts: Sequence[str]) -> Hashes:
    """One hash per band, shape (len(texts), BANDS); 0 for texts that are too short to compare."""
    found = np.zeros((len(texts), BANDS), dtype=np.uint64)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    if not lengths.sum():
        return found
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    ends = np.cumsum(lengths)
    # All texts are hashed as one array; a call per text would cost more than the hashing.
    with np.errstate(over="ignore"):
        # A hash, in the manner of FNV, of the shingle that begins at each character.
        rolled = codes[: 1 - _SHINGLE_CHARACTERS].copy()
        for offset in range(1, _SHINGLE_CHARACTERS):
            rolled *= _SHORT_PRIME
            rolled ^= codes[offset : len(codes) + offset + 1 - _SHINGLE_CHARACTERS]
        rolled *= _SHORT_PRIME
        places = np.flatnonzero(rolled >> np.uint32(16) & np.uint32(_SAMPLING - 1) == 0)
        owners = np.searchsorted(ends, places, side="right")
        is_inside = (
            places + _SHINGLE_CHARACTERS <= ends[owners]
        )  # a shingle over the border of two documents does not count
        places, owners = places[is_inside], owners[is_inside]
        shingles = rolled[places]
        counts = np.bincount(owners, minlength=len(texts))
        compared = np.flatnonzero(counts >= _MIN_SHINGLES)
        if not len(compared):
            return found
        is_compared = counts[owners] >= _MIN_SHINGLES
        shingles = shingles[is_compared]
        starts = np.zeros(len(compared), dtype=np.int64)
        np.cumsum(counts[compared][:-1], out=starts[1:])
        for band in range(BANDS):
            # The key of a band combines the minima of its hash functions.
            key = np.zeros(len(compared), dtype=np.uint64)
            for multiplier in _MULTIPLIERS[band * _HASHES_PER_BAND : (band + 1) * _HASHES_PER_BAND]:
                mixed = shingles * multiplier
                mixed ^= mixed >> np.uint32(15)
                key = (key ^ np.minimum.reduceat(mixed, starts)) * _PRIME
            # The lowest bit is set, because 0 means too short to compare.
            found[compared, band] = key | np.uint64(1)
    return found
