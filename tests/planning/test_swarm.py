"""Which chunk of whom: rarest first, and those who fetch together begin apart."""

import random

from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.swarm import wanted_order

HOLDINGS = st.dictionaries(st.sampled_from("abcd"), st.frozensets(st.integers(0, 40)), min_size=1)


@given(HOLDINGS, st.frozensets(st.integers(0, 40)), st.integers(1, 5), st.data())
def test_everybody_is_asked_for_all_that_it_has_and_we_lack(
    holdings: dict[str, frozenset[int]], here: frozenset[int], many: int, data: st.DataObject
) -> None:
    place = (data.draw(st.integers(0, many - 1)), many)
    orders = wanted_order(holdings, here, place, random.Random(0))
    assert {holder: sorted(order) for holder, order in orders.items()} == {
        holder: sorted(chunks - here) for holder, chunks in holdings.items()
    }


@given(HOLDINGS, st.integers(0, 1000))
def test_the_rarest_comes_first(holdings: dict[str, frozenset[int]], seed: int) -> None:
    for order in wanted_order(holdings, set(), (0, 1), random.Random(seed)).values():
        counts = [sum(index in chunks for chunks in holdings.values()) for index in order]
        assert counts == sorted(counts)


def test_those_who_fetch_together_begin_with_other_chunks() -> None:
    whole = {"source": frozenset(range(40))}
    first = [set(wanted_order(whole, set(), (place, 4), random.Random(7))["source"][:10]) for place in range(4)]
    assert set.union(*first) == set(range(40))
