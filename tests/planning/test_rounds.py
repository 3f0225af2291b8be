"""The life of a run: a round commits on every member, or the run fails."""

from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning import rounds
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.rounds import (
    Commit,
    Committed,
    Committing,
    End,
    Ended,
    Lost,
    OpenRound,
    Pace,
    Preparing,
    Ready,
    RunEvent,
    RunLife,
    StopAsked,
    Trained,
    Training,
)
from cellmind_agent.protocol.messages import RoundTrained

LEDGER = Ledger(num_samples=20, batch_samples=4, epochs=1)  # five steps
PACE = Pace(seconds_per_step=4.0, seconds_since_checkpoint=1.0)


def trained(rank: int, state: str = "same") -> Trained:
    return Trained(rank=rank, result=RoundTrained(state_hash=state, tokens=10, loss=1.0))


def play(life: RunLife, *events: RunEvent, pace: Pace = PACE) -> tuple[RunLife, list[rounds.Action]]:
    actions: list[rounds.Action] = []
    for event in events:
        life, more = rounds.transition(life, event, LEDGER, 2, pace)
        actions += more
    return life, actions


def start() -> RunLife:
    return Preparing(waiting=frozenset({0, 1}), step=0)


def test_a_run_of_two_from_beginning_to_end() -> None:
    life, actions = play(start(), Ready(rank=0))
    assert actions == []
    both = (trained(0), trained(1), Committed(rank=1), Committed(rank=0))
    life, actions = play(life, Ready(rank=1), *both, *both, *both, *both)
    assert life == Ended(cause="finished")
    assert [(a.round, a.step, a.num_steps) for a in actions if isinstance(a, OpenRound)] == [
        (0, 0, 0),
        (1, 0, 2),
        (2, 2, 2),
        (3, 4, 1),
    ]
    assert [(a.round, a.step, a.is_checkpoint) for a in actions if isinstance(a, Commit)] == [
        (0, 0, False),
        (1, 2, False),
        (2, 4, False),
        (3, 5, True),
    ]
    assert actions[-1] == End(cause="finished")


def test_the_first_committed_steps_are_kept_at_once() -> None:
    pace = Pace(seconds_per_step=4.0, seconds_since_checkpoint=None)
    life = Training(round=1, step=0, num_steps=2)
    _, actions = play(life, trained(0), trained(1), pace=pace)
    assert [a.is_checkpoint for a in actions if isinstance(a, Commit)] == [True]


def test_nothing_commits_while_a_member_is_missing() -> None:
    life, actions = play(Training(round=1, step=0, num_steps=2), trained(0))
    assert isinstance(life, Training)
    assert actions == []


def test_weights_that_differ_fail_the_run() -> None:
    """I3."""
    life, actions = play(Training(round=1, step=0, num_steps=2), trained(0), trained(1, "other"))
    assert life == Ended(cause="failed", why="after round 1 the weights of rank 1 differ from rank 0's")
    assert [type(action) for action in actions] == [End]


def test_a_lost_member_fails_the_run_in_every_state() -> None:
    states: list[RunLife] = [
        start(),
        Training(round=1, step=0, num_steps=2),
        Committing(round=1, step=2, waiting=frozenset({0}), is_last=False),
    ]
    for state in states:
        life, actions = play(state, Lost(rank=1, why="phone left"))
        assert life == Ended(cause="failed", why="phone left")
        assert actions == [End(cause="failed", why="phone left")]


def test_a_stop_waits_for_the_round_and_keeps_a_checkpoint() -> None:
    life, actions = play(Training(round=1, step=0, num_steps=2), StopAsked(), trained(0), trained(1))
    assert [a.is_checkpoint for a in actions if isinstance(a, Commit)] == [True]
    life, actions = play(life, Committed(rank=0), Committed(rank=1))
    assert life == Ended(cause="stopped")


def test_a_stop_before_anybody_is_ready_ends_at_once() -> None:
    assert play(start(), StopAsked())[0] == Ended(cause="stopped")


def test_what_comes_late_changes_nothing() -> None:
    over = Ended(cause="failed", why="x")
    assert play(over, trained(0), Ready(rank=0), Committed(rank=1), Lost(rank=0, why="y"), StopAsked()) == (over, [])


def test_an_answer_out_of_turn_fails_the_run() -> None:
    life, _ = play(start(), trained(0))
    assert isinstance(life, Ended)
    assert life.cause == "failed"


def test_a_round_takes_about_ten_seconds() -> None:
    assert rounds.steps_for_round(None, 2) == 2
    assert rounds.steps_for_round(0.1, 1) == 2
    assert rounds.steps_for_round(0.1, 2) == 100
    assert rounds.steps_for_round(60.0, 2) == 1


EVENTS = st.one_of(
    st.builds(Ready, rank=st.integers(0, 1)),
    st.builds(trained, st.integers(0, 1), st.sampled_from(["same", "other"])),
    st.builds(Committed, rank=st.integers(0, 1)),
    st.builds(Lost, rank=st.integers(0, 1), why=st.just("gone")),
    st.builds(StopAsked),
)


@given(st.lists(EVENTS, max_size=40))
def test_whatever_happens_a_run_ends_at_most_once_and_only_commits_what_all_trained(events: list[RunEvent]) -> None:
    life: RunLife = start()
    ends = 0
    for event in events:
        before = life
        life, actions = rounds.transition(life, event, LEDGER, 2, PACE)
        ends += sum(isinstance(action, End) for action in actions)
        for action in actions:
            if isinstance(action, Commit):
                assert isinstance(before, Training)
                assert set(before.results) | {event.rank} == {0, 1}  # type: ignore[union-attr]
    assert ends == (1 if isinstance(life, Ended) else 0)
