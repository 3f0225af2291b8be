"""The life of a run: a round commits on every member, or the run fails."""

from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.planning import rounds
from cellmind_agent.planning.ledger import Ledger, evaluation_interval
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
from model.line.held_out import NO_EVALUATION, HeldOutRecord

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
    both = (trained(0), trained(1), Committed(rank=0), Committed(rank=1))
    life, actions = play(Training(round=1, step=0, num_steps=2), StopAsked(), *both)
    last = actions[-1]
    assert last == OpenRound(round=2, step=2, num_steps=0, is_evaluated=True)
    life, actions = play(life, *both)
    assert [(a.step, a.is_checkpoint) for a in actions if isinstance(a, Commit)] == [(2, True)]
    assert life == Ended(cause="stopped")


def test_a_stop_after_an_evaluated_round_needs_no_other_one() -> None:
    training = Training(round=3, step=2, num_steps=2, is_evaluated=True)
    both = (trained(0), trained(1), Committed(rank=0), Committed(rank=1))
    life, actions = play(training, StopAsked(), *both)
    assert [a.is_checkpoint for a in actions if isinstance(a, Commit)] == [True]
    assert life == Ended(cause="stopped")


def losses_of(losses: list[float], patience: int, start: HeldOutRecord = NO_EVALUATION, first: int = 0) -> list[Commit]:
    """The commits of a run that evaluates after every second step, with these losses before the first step and then."""
    ledger = Ledger(num_samples=1000, batch_samples=1, epochs=1, evaluate_every=2, patience=patience)
    life: RunLife = Preparing(waiting=frozenset({0}), step=first, held_out=start)
    life, actions = rounds.transition(life, Ready(rank=0), ledger, 1, PACE)
    commits = []
    for loss in losses:
        while isinstance(life, Training):
            shown = loss if life.is_evaluated else None
            result = RoundTrained(state_hash="s", tokens=1, loss=1.0, val_loss=shown, average_val_loss=shown)
            was_evaluated = life.is_evaluated
            life, actions = rounds.transition(life, Trained(rank=0, result=result), ledger, 1, PACE)
            (commit,) = actions
            assert isinstance(commit, Commit)
            commits.append(commit)
            life, actions = rounds.transition(life, Committed(rank=0), ledger, 1, PACE)
            if was_evaluated:
                break
    return commits


LOSSES = st.lists(st.floats(0.5, 9.0), min_size=1, max_size=30)


@given(losses=LOSSES, patience=st.integers(0, 4))
def test_a_run_ends_when_its_patience_is_over_and_knows_its_best_step(losses: list[float], patience: int) -> None:
    commits = losses_of(losses, patience)
    evaluated = [commit for commit in commits if commit.result.val_loss is not None]
    seen = losses[: len(evaluated)]
    best = min(seen)
    assert evaluated[-1].held_out.best_loss == best
    assert evaluated[-1].held_out.best_step == evaluated[seen.index(best)].step
    assert [commit.is_best for commit in evaluated] == [loss < min(seen[:i], default=10) for i, loss in enumerate(seen)]
    worse = [commit.held_out.num_worse for commit in evaluated]
    assert all(number < patience for number in worse[:-1]) or patience == 0
    assert len(seen) == len(losses) or worse[-1] == patience


@given(losses=LOSSES, cut=st.integers(1, 20))
def test_a_resumed_run_decides_as_if_it_had_not_been_interrupted(losses: list[float], cut: int) -> None:
    straight = losses_of(losses, patience=2)
    evaluated = [commit for commit in straight if commit.result.val_loss is not None]
    if cut >= len(evaluated):
        return
    at = evaluated[cut]
    resumed = losses_of(losses[cut:], 2, at.held_out, at.step)
    later = [commit.held_out for commit in evaluated[cut:]]
    if at.held_out.num_worse < 2:
        assert [commit.held_out for commit in resumed if commit.result.val_loss is not None] == later


def test_an_interval_costs_little_and_happens_often_enough() -> None:
    assert evaluation_interval(434, 9, 14) == 37  # about one an epoch of a small text, 12 in all
    assert evaluation_interval(124, 8, 14) == 42  # not 39, which would leave a last round of 7 steps
    assert evaluation_interval(5000, 32, 10_000) == 100
    assert evaluation_interval(3, 32, 64) == 3
    assert evaluation_interval(100, 16, 0) == 2


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
