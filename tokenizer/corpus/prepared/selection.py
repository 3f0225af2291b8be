"""Selects which documents of a batch are new and which are held out, by arithmetic on their entries.

It reads the text of a document only if it may continue an earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt

from tokenizer.corpus.conversations.documents import Entries
from tokenizer.corpus.conversations.duplicates import BANDS, exact_hash
from tokenizer.corpus.messages import NO_TIME

HELD_OUT_SHARE: Final = 0.05
_MIN_EQUAL_BANDS: Final = 2  # one band may be equal by chance
_MAX_COMPARED: Final = 8  # earlier documents with the same beginning
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Selection:
    """`is_new` and `is_held_out` have one flag per entry of the batch.

    `known_characters` is for documents that continue an earlier one: for an entry's index, how many of its first
    characters the earlier document has. `duplicates` are counts by kind.
    """

    is_new: Flags
    is_held_out: Flags
    known_characters: Mapping[int, int]
    duplicates: dict[str, int]


def select(lines: BinaryIO, entries: Entries, earlier: Entries) -> Selection:
    """Compare the entries of a batch with each other and with the `earlier` entries of the folder.

    `lines` is the file of the batch's lines of JSON.
    """
    count = len(earlier)
    is_exact = _is_repeated(np.concatenate([earlier["exact"], entries["exact"]]))[count:]
    known_characters = _find_continued(lines, entries, earlier, ~is_exact)
    num_equal_bands = np.zeros(len(entries), dtype=np.int64)
    for band in range(BANDS):
        keys = np.concatenate([earlier["near"][:, band], entries["near"][:, band]])
        num_equal_bands += (_is_repeated(keys) & (keys != 0))[count:]
    is_near = (num_equal_bands >= _MIN_EQUAL_BANDS) & ~is_exact
    is_near[list(known_characters)] = False
    is_new = ~is_exact & ~is_near
    duplicates = {"exact": int(is_exact.sum()), "near": int(is_near.sum()), "continued": len(known_characters)}
    return Selection(is_new, _hold_out(entries, is_new), known_characters, duplicates)


def _is_repeated(keys: npt.NDArray[np.uint64]) -> Flags:
    """True for all but the first of equal keys."""
    repeated = np.ones(len(keys), dtype=bool)
    repeated[np.unique(keys, return_index=True)[1]] = False
    return repeated


def _find_continued(lines: BinaryIO, entries: Entries, earlier: Entries, is_candidate: Flags) -> dict[int, int]:
    """The documents that begin with a whole earlier document: their index, and its length in characters."""
    # Earlier entries come first in all these arrays, so entry i of the batch has index count + i.
    count = len(earlier)
    beginnings = np.concatenate([earlier["beginning"], entries["beginning"]])
    suspects = np.flatnonzero(_is_repeated(beginnings)[count:] & is_candidate)
    if not len(suspects):
        return {}
    exact = np.concatenate([earlier["exact"], entries["exact"]])
    characters = np.concatenate([earlier["characters"], entries["characters"]])
    order = np.argsort(beginnings, kind="stable")
    ordered = beginnings[order]
    offsets = np.concatenate([[0], np.cumsum(entries["line_size"], dtype=np.int64)])
    found = {}
    for index in suspects.tolist():
        first = int(np.searchsorted(ordered, beginnings[count + index]))
        last = int(np.searchsorted(ordered, beginnings[count + index], side="right"))
        compared = [int(i) for i in order[first:last] if i < count + index][-_MAX_COMPARED:]  # the latest ones
        lines.seek(int(offsets[index]))
        text = json.loads(lines.read(int(entries["line_size"][index])))["text"]
        # The earlier document must be contained as a whole.
        lengths = [
            int(characters[i]) for i in compared if exact_hash(text[: int(characters[i])].encode()) == int(exact[i])
        ]
        if lengths and max(lengths) < len(text):
            found[index] = max(lengths)
    return found


def _hold_out(entries: Entries, is_new: Flags) -> Flags:
    """Hold out the last documents in time; of documents without a time the last ones of each file."""
    is_held_out = np.zeros(len(entries), dtype=bool)
    indices = np.flatnonzero(is_new)
    is_timed = entries["start"][indices] != NO_TIME
    timed = indices[is_timed]
    groups = [timed[np.argsort(entries["start"][timed], kind="stable")]]
    untimed = indices[~is_timed]
    groups += [untimed[entries["source"][untimed] == source] for source in np.unique(entries["source"][untimed])]
    for group in groups:
        if len(group) > 1:
            sizes = entries["characters"][group].astype(np.int64)
            characters_to_end = np.cumsum(sizes[::-1])[::-1]
            last = group[characters_to_end <= sizes.sum() * HELD_OUT_SHARE]
            is_held_out[last if len(last) else group[-1:]] = True
    if not is_held_out.any() and len(indices) > 1:
        is_held_out[indices[-1]] = True
    return is_held_out
