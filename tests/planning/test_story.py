"""How a run went: rounds that were done again do not count, leaders are merged, and few checkpoints are kept."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning.lineage import Noted
from cellmind_agent.planning.story import merged, some_of, story_of, with_checkpoint
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.codec import Envelope, encode
from cellmind_agent.protocol.limits import (
    MAX_CHECKPOINT_STORIES,
    MAX_CONTINUATION_CHARACTERS,
    MAX_FRAME_BYTES,
    MAX_NAME_CHARACTERS,
    MAX_PERIOD_MEMBERS,
    MAX_ROSTER_CHANGES,
)
from model.line.continuation import NUM_PROMPTS, Continuation
from model.line.sentence import Sentence
from tests.protocol.examples import DEVICE, RUN, SPEC, STORY


def a_round(first: int, last: int, tokens: dict[str, int], val_loss: float | None = None) -> list[Noted]:
    """A round at 10 tokens a second."""
    members = tuple(
        m.MemberProgress(name=name, tokens=count, tokens_per_second=5.0, idle_fraction=0.0, share=1)
        for name, count in tokens.items()
    )
    committed = m.RoundCommitted(
        run=RUN, round=1, first_step=first, step=last, total_steps=100, tokens=0, loss=None, tokens_per_second=10.0,
        members=members, wire_bytes=0, state_hash="", val_loss=val_loss,
    )  # fmt: skip
    started = m.RoundStarted(run=RUN, round=1, step=first, num_steps=last - first, total_steps=100)
    return [Noted(event=started), Noted(event=committed)]


def at(step: int, time: float = 0.0) -> m.CheckpointStory:
    return replace(STORY, step=step, time=time or float(step))


def test_tokens_seconds_and_the_best_evaluation_are_added_up() -> None:
    rounds = a_round(0, 0, {"a": 0, "b": 0}, 7.0) + a_round(0, 5, {"a": 20, "b": 30}, 4.0) + a_round(5, 9, {"a": 10})
    story = story_of(SPEC, rounds, (STORY,))
    assert [(one.name, one.tokens) for one in story.contributions] == [("a", 30), ("b", 30)]
    assert story.seconds == 6.0
    assert (story.best_step, story.best_val_loss) == (5, 4.0)
    assert story.redone_tokens == 0
    assert story.checkpoints == (STORY,)


def test_rounds_that_are_done_again_do_not_count_twice() -> None:
    rounds = a_round(0, 5, {"a": 20}, 4.0) + a_round(5, 9, {"a": 16}, 3.0)
    rounds += a_round(5, 8, {"b": 12}, 3.5)  # resumed from the checkpoint at step 5, without a
    story = story_of(SPEC, rounds, ())
    assert [(one.name, one.tokens) for one in story.contributions] == [("a", 20), ("b", 12)]
    assert story.redone_tokens == 16
    assert story.best_step == 8
    assert story.seconds == pytest.approx(4.8)  # the work was done, though it did not count
    assert story.redone_seconds == pytest.approx(1.6)


def test_a_lost_member_is_named_with_the_step_after_which_it_left() -> None:
    lost = Noted(event=m.MemberLost(run=RUN, name="b", why=Sentence("it fell silent")))
    story = story_of(SPEC, [*a_round(0, 5, {"a": 20, "b": 20}), lost, *a_round(5, 9, {"a": 16})], ())
    assert story.changes[-1] == m.RosterChange(kind="left", name="b", step=5, why=Sentence("it fell silent"))


def test_one_device_sends_the_last_changes_and_all_devices_together_have_all() -> None:
    log = []
    for place in range(MAX_ROSTER_CHANGES):
        log += a_round(2 * place, 2 * place + 1, {"a": 5, "b": 5}) + a_round(2 * place + 1, 2 * place + 2, {"a": 5})
    story = story_of(SPEC, log, ())
    assert len(story.changes) == MAX_ROSTER_CHANGES
    assert len(merged(RUN, [story]).changes) == 2 * MAX_ROSTER_CHANGES


def test_a_run_without_any_round_has_an_empty_story() -> None:
    empty = m.RunStory(run=RUN, seconds=0.0, contributions=(), checkpoints=())
    nothing = m.SamplesAudit(num_samples=100, batch_samples=16, num_epochs=3, epoch=0, num_counted=0)
    assert story_of(SPEC, [], ()) == replace(empty, audit=nothing)
    assert merged(RUN, []) == empty


def test_the_stories_of_two_leaders_become_one() -> None:
    one = story_of(SPEC, a_round(0, 5, {"a": 20}, 4.0), (at(2, 10.0), at(5, 20.0), at(9, 30.0)))
    other = story_of(SPEC, a_round(5, 8, {"b": 12, "a": 3}, 3.5), (at(7, 40.0), at(12, 50.0)))
    story = merged(RUN, [other, one])
    assert [(c.name, c.tokens) for c in story.contributions] == [("a", 23), ("b", 12)]
    assert [checkpoint.step for checkpoint in story.checkpoints] == [2, 5, 7, 12]  # 9 was done again
    assert (story.best_step, story.best_val_loss) == (8, 3.5)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=300))
def test_few_checkpoints_are_kept_the_first_and_the_newest_among_them(gaps: list[int]) -> None:
    kept: tuple[m.CheckpointStory, ...] = ()
    steps = [sum(gaps[: place + 1]) for place in range(len(gaps))]
    for step in steps:
        kept = with_checkpoint(kept, at(step))
    found = [one.step for one in kept]
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (steps[0], steps[-1])
    assert len(found) == min(len(steps), MAX_CHECKPOINT_STORIES)


def test_kept_checkpoints_are_at_about_equal_distances() -> None:
    kept: tuple[m.CheckpointStory, ...] = ()
    for step in range(0, 5000, 5):
        kept = with_checkpoint(kept, at(step))
    gaps = [after.step - before.step for before, after in pairwise(kept)]
    assert max(gaps) <= 4 * 5000 / MAX_CHECKPOINT_STORIES


def test_a_resumed_run_replaces_the_checkpoints_that_it_passes_again() -> None:
    assert [one.step for one in with_checkpoint([at(2), at(5), at(9)], at(5, 99.0))] == [2, 5]


@given(st.integers(0, 80), st.integers(2, 9))
def test_the_first_and_the_last_checkpoint_are_shown(count: int, most: int) -> None:
    found = some_of([at(step) for step in range(count)], most)
    assert len(found) == min(count, most)
    assert len({one.step for one in found}) == len(found)
    if count:
        assert (found[0].step, found[-1].step) == (0, count - 1)


def test_the_largest_story_fits_into_a_frame() -> None:
    longest, name = "😀" * MAX_CONTINUATION_CHARACTERS, "가" * MAX_NAME_CHARACTERS
    full = replace(STORY, continuations=(Continuation(prompt=longest, text=longest),) * NUM_PROMPTS)
    log = []
    for place in range(MAX_PERIOD_MEMBERS):
        log.append(Noted(event=m.MemberLost(run=RUN, name=name, why=Sentence("{name} left the run", name=name))))
        log += a_round(place, place + 1, {name: 1 << 40, f"{place % 2}": 1 << 40})
    story = story_of(SPEC, log, (full,) * MAX_CHECKPOINT_STORIES)
    assert len(story.periods) == MAX_PERIOD_MEMBERS // 2
    assert story.periods[-1].step == MAX_PERIOD_MEMBERS
    assert len(encode(Envelope(kind="answer", correlation=1, message=story))) < MAX_FRAME_BYTES


# -- forecast and measured ---------------------------------------------------------------------------------------------


def rounds_of(*numbers: int, names: str = "ab", val_loss: float | None = None) -> list[Noted]:
    """Rounds of 100 tokens at 10 tokens a second, in which each member computes 5 tokens a second."""
    found = []
    for number in numbers:
        noted = a_round(number, number + 1, dict.fromkeys(names, 100 // len(names)), val_loss)[1]
        assert isinstance(noted.event, m.RoundCommitted)
        found.append(Noted(event=replace(noted.event, round=number)))
    return found


def expected(*names: str) -> m.RunSpec:
    members = tuple(m.MemberForecast(device=DEVICE, name=name, tokens_per_second=6.0) for name in names)
    return replace(SPEC, forecast=m.RunForecast(tokens_per_second=12.0, members=members))


def test_the_forecast_stands_beside_the_rounds_of_all_members() -> None:
    events = rounds_of(0, 1, 2, 3, 4) + rounds_of(5, val_loss=3.0) + rounds_of(6, names="a")
    assert story_of(expected("a", "b"), events, ()).speeds == (
        m.SpeedComparison(name="", forecast=12.0, measured=10.0),
        m.SpeedComparison(name="a", forecast=6.0, measured=5.0),
        m.SpeedComparison(name="b", forecast=6.0, measured=5.0),
    )


@pytest.mark.parametrize("events", [[], rounds_of(0, 1, 2), rounds_of(3, names="a"), rounds_of(3, val_loss=3.0)])
def test_nothing_is_compared_without_a_round_like_the_forecast(events: list[Noted]) -> None:
    assert story_of(expected("a", "b"), events, ()).speeds == ()
    assert story_of(replace(SPEC, forecast=None), rounds_of(3, 4), ()).speeds == ()
