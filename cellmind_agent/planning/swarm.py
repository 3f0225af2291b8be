"""Which chunks of a blob to ask whom for: rarest first, so that every holder soon has something that others lack.

After BitTorrent (Cohen, "Incentives build robustness in BitTorrent", 2003, section 2.4); nobody is choked here, since
the members of a cell trust each other.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Set
from typing import TypeVar

H = TypeVar("H")


def wanted_order(
    chunks_by_holder: Mapping[H, Set[int]], here: Set[int], place: tuple[int, int], chance: random.Random
) -> dict[H, list[int]]:
    """For each holder what is to be asked of it, in order: what the fewest have first. Of `place` (ours, how many) who
    fetch the blob at the same time, each begins with another part of what is equally rare, so that the holder of the
    whole sends everything about once; the rest is left to chance."""
    own, many = place
    rarity = Counter(index for chunks in chunks_by_holder.values() for index in chunks)
    order = {index: (count, index % many != own, chance.random()) for index, count in rarity.items()}
    return {
        holder: sorted(chunks - here, key=lambda index: order[index]) for holder, chunks in chunks_by_holder.items()
    }
