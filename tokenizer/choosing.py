"""Which of some documents are new, and which are held out: arithmetic on their entries. Only what may go on where an
earlier document broke off is read again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from tokenizer.clean.documents import Entries
from tokenizer.clean.duplicates import BANDS, exact_hash
from tokenizer.clean.messages import NO_TIME

HELD_OUT_SHARE: Final = 0.05
_COMPARED: Final = 8  # earlier documents with the same beginning
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Choice:
    """Of each entry. `known` is for documents that go on where an earlier one broke off: how many of their characters
    are there already. `duplicates` are counts by kind."""

    is_new: Flags
    is_held_out: Flags
    known: dict[int, int]
    duplicates: dict[str, int]


def choose(lines: BinaryIO, entries: Entries, old: Entries) -> Choice:
    """`old` are the entries of earlier batches."""
    count = len(old)
    is_exact = _is_repeated(np.concatenate([old["exact"], entries["exact"]]))[count:]
    known = _continued(lines, entries, old, ~is_exact)
    repeated_bands = np.zeros(len(entries), dtype=np.int64)
    for band in range(BANDS):
        keys = np.concatenate([old["near"][:, band], entries["near"][:, band]])
        repeated_bands += (_is_repeated(keys) & (keys != 0))[count:]
    is_near = repeated_bands >= 2  # one may be alike by chance
    is_near &= ~is_exact
    is_near[list(known)] = False
    is_new = ~is_exact & ~is_near
    duplicates = {"exact": int(is_exact.sum()), "near": int(is_near.sum()), "continued": len(known)}
    return Choice(is_new, _held_out(entries, is_new), known, duplicates)


def _is_repeated(keys: npt.NDArray[np.uint64]) -> Flags:
    """True for all but the first of equal keys."""
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    return repeated


def _continued(lines: BinaryIO, entries: Entries, old: Entries, is_candidate: Flags) -> dict[int, int]:
    """Documents whose beginning is a whole earlier document: place to its length in characters."""
    count = len(old)
    beginnings = np.concatenate([old["beginning"], entries["beginning"]])
    suspects = np.flatnonzero(_is_repeated(beginnings)[count:] & is_candidate)
    if not len(suspects):
        return {}
    exact = np.concatenate([old["exact"], entries["exact"]])
    characters = np.concatenate([old["characters"], entries["characters"]])
    order = np.argsort(beginnings, kind="stable")
    ordered = beginnings[order]
    offsets = np.concatenate([[0], np.cumsum(entries["line_size"], dtype=np.int64)])
    found = {}
    for place in suspects.tolist():
        first = int(np.searchsorted(ordered, beginnings[count + place]))
        last = int(np.searchsorted(ordered, beginnings[count + place], side="right"))
        earlier = [int(i) for i in order[first:last] if i < count + place][-_COMPARED:]
        lines.seek(int(offsets[place]))
        text = json.loads(lines.read(int(entries["line_size"][place])))["text"]
        known = [
            int(characters[i]) for i in earlier if exact_hash(text[: int(characters[i])].encode()) == int(exact[i])
        ]
        if known and max(known) < len(text):
            found[place] = max(known)
    return found


def _held_out(entries: Entries, is_new: Flags) -> Flags:
    """The last ones in time, a twentieth of the characters; of texts without a time the last of each file."""
    held = np.zeros(len(entries), dtype=bool)
    places = np.flatnonzero(is_new)
    is_timed = entries["start"][places] != NO_TIME
    timed = places[is_timed]
    groups = [timed[np.argsort(entries["start"][timed], kind="stable")]]
    untimed = places[~is_timed]
    groups += [untimed[entries["source"][untimed] == source] for source in np.unique(entries["source"][untimed])]
    for group in groups:
        if len(group) > 1:
            sizes = entries["characters"][group].astype(np.int64)
            from_end = np.cumsum(sizes[::-1])[::-1]
            last = group[from_end <= sizes.sum() * HELD_OUT_SHARE]
            held[last if len(last) else group[-1:]] = True
    if not held.any() and len(places) > 1:
        held[places[-1]] = True
    return held
