"""Which chunk to request from which holder: rarest first; devices that fetch together begin with different ones."""

import random

from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.swarm import request_order

HOLDINGS = st.dictionaries(st.sampled_from("abcd"), st.frozensets(st.integers(0, 40)), min_size=1)


@given(HOLDINGS, st.frozensets(st.integers(0, 40)), st.integers(1, 5), st.data())
def test_every_missing_chunk_is_requested_from_each_of_its_holders(
    holdings: dict[str, frozenset[int]], present: frozenset[int], num_fetching: int, data: st.DataObject
) -> None:
    position = (data.draw(st.integers(0, num_fetching - 1)), num_fetching)
    orders = request_order(holdings, present, position, random.Random(0))
    assert {holder: sorted(order) for holder, order in orders.items()} == {
        holder: sorted(chunks - present) for holder, chunks in holdings.items()
    }


@given(HOLDINGS, st.integers(0, 1000))
def test_the_rarest_comes_first(holdings: dict[str, frozenset[int]], seed: int) -> None:
    for order in request_order(holdings, set(), (0, 1), random.Random(seed)).values():
        counts = [sum(index in chunks for chunks in holdings.values()) for index in order]
        assert counts == sorted(counts)


def test_devices_that_fetch_together_begin_with_different_chunks() -> None:
    whole = {"source": frozenset(range(40))}
    first = [set(request_order(whole, set(), (position, 4), random.Random(7))["source"][:10]) for position in range(4)]
    assert set.union(*first) == set(range(40))
