"""Documents that are there twice, or nearly: the same export again, a longer one of the same room, forwarded texts.
Pure.

Near duplicates by MinHash (Broder 1997) over five-character shingles, of which every eighth is looked at (his mod-m
sampling), with bands as in Leskovec, Rajaraman & Ullman, Mining of Massive Datasets, section 3.4: of 4 bands of 8,
two must agree. That finds nine of ten documents that share 95 % of their shingles, six of ten that share 90 %;
of those that share a half, one pair in ten thousand is taken for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BANDS: Final = 4
_ROWS: Final = 8
_SHINGLE: Final = 5
_SAMPLED: Final = 8  # a power of two
_FEWEST: Final = 16  # sampled shingles: shorter texts are alike by chance, and repeat because people do
_BEGINNING: Final = 48
_PRIME: Final = np.uint64(0x100000001B3)
_SHORT_PRIME: Final = np.uint32(0x01000193)
_MULTIPLIERS: Final = (np.arange(1, BANDS * _ROWS + 1, dtype=np.uint32) * np.uint32(0x9E3779B9)) | np.uint32(1)
Hashes = npt.NDArray[np.uint64]


def exact_hash(text: bytes) -> int:
    """Of a text in UTF-8."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def beginning_hash(text: str) -> int:
    """Of the first characters: a later export continues the conversation that an earlier one broke off."""
    return exact_hash(text[:_BEGINNING].encode())


def near_hashes(texts: Sequence[str]) -> Hashes:
    """One hash a band, (len(texts), BANDS); 0 for texts that are too short to compare."""
    found = np.zeros((len(texts), BANDS), dtype=np.uint64)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    if not lengths.sum():
        return found
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), dtype="<u4")
    ends = np.cumsum(lengths)
    with np.errstate(over="ignore"):
        rolled = codes[: 1 - _SHINGLE].copy()
        for offset in range(1, _SHINGLE):
            rolled *= _SHORT_PRIME
            rolled ^= codes[offset : len(codes) + offset + 1 - _SHINGLE]
        rolled *= _SHORT_PRIME
        places = np.flatnonzero(rolled >> np.uint32(16) & np.uint32(_SAMPLED - 1) == 0)
        owners = np.searchsorted(ends, places, side="right")
        is_inside = places + _SHINGLE <= ends[owners]  # it reaches into no other document
        places, owners = places[is_inside], owners[is_inside]
        shingles = rolled[places]
        counts = np.bincount(owners, minlength=len(texts))
        compared = np.flatnonzero(counts >= _FEWEST)
        if not len(compared):
            return found
        is_compared = counts[owners] >= _FEWEST
        shingles = shingles[is_compared]
        starts = np.zeros(len(compared), dtype=np.int64)
        np.cumsum(counts[compared][:-1], out=starts[1:])
        for band in range(BANDS):
            key = np.zeros(len(compared), dtype=np.uint64)
            for multiplier in _MULTIPLIERS[band * _ROWS : (band + 1) * _ROWS]:
                mixed = shingles * multiplier
                mixed ^= mixed >> np.uint32(15)
                key = (key ^ np.minimum.reduceat(mixed, starts)) * _PRIME
            found[compared, band] = key | np.uint64(1)
    return found
