"""A member's samples of a round follow from what the leader asks, which is checked."""

from dataclasses import replace

import pytest

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.runs.participation import dealt_spans, own_spans
from model.line.training import Span
from tests.protocol.examples import SPEC

ROUND = m.TrainRound(run=SPEC.run, term=1, round=1, first_step=6, num_steps=3, shares=(12, 4), evaluate=False)


def test_in_the_mode_ddp_a_member_takes_a_part_of_each_step() -> None:
    # An epoch of 100 samples has seven steps of 16, and the last one takes what is left.
    expected = (Span(epoch=0, start=99, stop=100), Span(epoch=1, start=12, stop=16), Span(epoch=1, start=28, stop=32))
    assert own_spans(SPEC, 1, ROUND) == expected


def test_a_member_takes_dealt_steps_whole() -> None:
    dealt = m.DealSteps(run=SPEC.run, term=1, round=1, round_step=2, num_steps=20, first_step=5, stop=8)
    expected = (Span(epoch=0, start=80, stop=96), Span(epoch=0, start=96, stop=100), Span(epoch=1, start=0, stop=16))
    assert dealt_spans(SPEC, dealt) == expected
    wrong: tuple[dict[str, int], ...] = ({"stop": 5}, {"stop": 10**9}, {"round_step": 6}, {"round_step": -1})
    for change in wrong:
        with pytest.raises(ProtocolError):
            dealt_spans(SPEC, replace(dealt, **change))


@pytest.mark.parametrize(
    ("num_steps", "shares"), [(3, (1, 1)), (3, (20, -4)), (3, (4, -1)), (3, ()), (10**9, (12, 4)), (10**9, (10**9, 0))]
)
def test_shares_that_do_not_divide_the_round_are_refused(num_steps: int, shares: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolError):
        own_spans(SPEC, 0, replace(ROUND, num_steps=num_steps, shares=shares))


def test_a_round_without_steps_has_no_samples_whatever_its_shares() -> None:
    assert own_spans(SPEC, 0, replace(ROUND, num_steps=0, shares=(10**12, 0))) == ()
