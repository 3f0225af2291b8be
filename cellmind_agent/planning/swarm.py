"""Which chunks of a blob to request from which holder: rarest first, so every holder soon has rare ones.

After BitTorrent (Cohen, "Incentives build robustness in BitTorrent", 2003, section 2.4). Nobody is choked here, since
the members of a cell trust each other.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Set
from typing import TypeVar

H = TypeVar("H")


def request_order(
    chunks_by_holder: Mapping[H, Set[int]], present: Set[int], position: tuple[int, int], rng: random.Random
) -> dict[H, list[int]]:
    """For each holder, the indices of the chunks to request from it, in order: those with the fewest holders first.

    Chunks in `present` are left out. `position` is (our index, how many) among the devices that fetch the blob at the
    same time: each begins with another part of the equally rare chunks, so the holder of the whole blob sends each
    chunk about once. Within that, the order is random.
    """
    own_index, num_fetching = position
    rarity = Counter(index for chunks in chunks_by_holder.values() for index in chunks)
    rank = {index: (count, index % num_fetching != own_index, rng.random()) for index, count in rarity.items()}
    return {
        holder: sorted(chunks - present, key=lambda index: rank[index]) for holder, chunks in chunks_by_holder.items()
    }
