"""The life of a run: a round commits on every member of its roster, and a lost member costs one round."""

from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.planning import rounds
from cellmind_agent.planning.commits import round_seconds, steps_for_round
from cellmind_agent.planning.ledger import Ledger, evaluation_interval
from cellmind_agent.planning.run_actions import (
    Action,
    Adopt,
    Average,
    CallBack,
    Commit,
    Deal,
    Drop,
    End,
    FormGroup,
    HandOver,
    LookAgain,
    OpenRound,
    Pace,
    Question,
    Record,
    StandBy,
)
from cellmind_agent.planning.run_life import (
    Alone,
    Answered,
    Broken,
    Committed,
    Ended,
    Grouped,
    Looked,
    Lost,
    Preparing,
    Ready,
    Replaced,
    RunEvent,
    RunLife,
    Standing,
    StillAlone,
    StopAsked,
    Took,
    Trained,
    Training,
)
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_BROKEN_GROUPS, MAX_ROUND_STEPS
from cellmind_agent.protocol.messages import LastCommit, RosterMember, RoundTrained, RunMode, Term
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence

X = TypeVar("X")

LEDGER = Ledger(num_samples=20, batch_samples=4, epochs=1)  # five steps
PACE = Pace(round_seconds=10.0, seconds_per_step=4.0, seconds_since_checkpoint=1.0)
GONE = Sentence("gone")


A, B, C, D = (DeviceId(letter * 32) for letter in "abcd")
BOTH, THREE = (A, B), (A, B, C)


def trained(device: DeviceId, state: str = "same", term: int = 1) -> Trained:
    return Trained(device=device, term=term, result=RoundTrained(state_hash=state, tokens=10, loss=1.0))


def committed(device: DeviceId, number: int) -> Committed:
    return Committed(device=device, round=number)


def a_round(number: int, roster: tuple[DeviceId, ...] = BOTH, term: int = 1) -> list[RunEvent]:
    """All that members say in a round."""
    return [*(trained(device, term=term) for device in roster), *(committed(device, number) for device in roster)]


def ready(device: DeviceId, *held: str, last: LastCommit | None = None, term: int = 0) -> Ready:
    return Ready(device=device, held_states=held or ("start",), last=last, term=term)


def group(
    roster: tuple[DeviceId, ...], term: int, step: int = 0, state: str = "start", holders: tuple[DeviceId, ...] = ()
) -> FormGroup:
    """All of them hold the state, unless only the `holders` do."""
    return FormGroup(roster=roster, term=term, step=step, state_hash=state, holders=frozenset(holders or roster))


def play(life: RunLife, *events: RunEvent, pace: Pace = PACE) -> tuple[RunLife, list[Action]]:
    actions: list[Action] = []
    for event in events:
        life, more = rounds.transition(life, event, LEDGER, pace)
        actions += more
    return life, actions


def start(roster: tuple[DeviceId, ...] = BOTH) -> RunLife:
    return rounds.begin(roster, 0, 0, NO_EVALUATION)


def standing(roster: tuple[DeviceId, ...] = BOTH, number: int = 1, step: int = 0) -> Standing:
    return Standing(roster=roster, term=1, round=number, step=step, state_hash="start", holders=frozenset(roster))


def training(roster: tuple[DeviceId, ...] = BOTH) -> Training:
    """In the middle of the first round with steps."""
    return Training(standing=standing(roster), num_steps=2)


def of(kind: type[X], actions: list[Action]) -> list[X]:
    return [action for action in actions if isinstance(action, kind)]


def test_a_run_of_two_from_beginning_to_end() -> None:
    life, actions = play(start(), ready(A))
    assert actions == []
    life, actions = play(life, ready(B))
    assert actions == [group(BOTH, 1)]
    life, more = play(
        life, Grouped(device=B, term=1), Grouped(device=A, term=1), *(e for n in range(4) for e in a_round(n))
    )
    assert life == Ended(cause="finished")
    assert [(a.round, a.step, a.num_steps) for a in of(OpenRound, more)] == [(0, 0, 0), (1, 0, 2), (2, 2, 2), (3, 4, 1)]
    assert [(a.round, a.step, a.is_checkpoint) for a in of(Commit, more)] == [
        (0, 0, False),
        (1, 2, False),
        (2, 4, False),
        (3, 5, True),
    ]
    assert len(of(Record, more)) == 4
    assert more[-1] == End(roster=BOTH, cause="finished")


def test_the_first_committed_steps_are_kept_at_once() -> None:
    pace = Pace(round_seconds=10.0, seconds_per_step=4.0, seconds_since_checkpoint=None)
    _, actions = play(training(), trained(A), trained(B), pace=pace)
    assert [a.is_checkpoint for a in of(Commit, actions)] == [True]


def test_nothing_commits_while_a_member_is_missing() -> None:
    life, actions = play(training(), trained(A))
    assert isinstance(life, Training)
    assert actions == []


def test_without_a_majority_weights_that_differ_are_trained_again_and_then_fail_the_run() -> None:
    """I3."""
    life: RunLife = training()
    for term in range(1, MAX_BROKEN_GROUPS):
        life, actions = play(life, trained(A, term=term), trained(B, "other", term))
        assert actions == [group(BOTH, term + 1)]
        life, _ = play(life, Grouped(device=A, term=term + 1), Grouped(device=B, term=term + 1))
    life, actions = play(life, trained(A, term=MAX_BROKEN_GROUPS), trained(B, "other", MAX_BROKEN_GROUPS))
    assert isinstance(life, Ended)
    assert "no majority agrees" in str(life.why)
    assert [type(action) for action in actions] == [End]


def test_a_leader_whose_weights_differ_from_all_others_hands_over() -> None:
    """I3."""
    life, actions = play(training(THREE), trained(A, "other"), trained(B), trained(C))
    assert isinstance(life, Ended)
    assert [action.roster for action in of(HandOver, actions)] == [(B, C)]


def test_a_minority_whose_weights_differ_is_dropped_and_the_round_counts() -> None:
    """I3."""
    life, actions = play(training((A, B, C)), trained(A), trained(B, "other"), trained(C))
    assert [drop.device for drop in of(Drop, actions)] == [B]
    assert [(a.roster, a.step) for a in of(Commit, actions)] == [((A, C), 2)]
    life, actions = play(life, committed(A, 1), committed(C, 1))
    assert actions[-1] == group((A, C), 2, 2, "same")


def test_without_a_lost_member_the_others_do_the_round_again() -> None:
    why = Sentence("phone left")
    life, actions = play(training((A, B, C)), trained(A), Lost(device=B, why=why))
    assert actions == [Drop(device=B, why=why), group((A, C), 2)]
    # -- answers of the old term count for nothing
    life, actions = play(
        life, trained(C), Grouped(device=A, term=1), Grouped(device=A, term=2), Grouped(device=C, term=2)
    )
    assert [(a.round, a.step, a.roster, a.term) for a in of(OpenRound, actions)] == [(1, 0, (A, C), 2)]
    life, actions = play(life, trained(A), trained(C), trained(A, term=2), trained(C, term=2))
    assert [(a.round, a.step) for a in of(Commit, actions)] == [(1, 2)]


def test_the_last_one_goes_on_alone() -> None:
    life, actions = play(training(), Lost(device=B, why=Sentence("gone")), Grouped(device=A, term=2))
    assert of(OpenRound, actions)[0].roster == (A,)
    life, actions = play(life, *a_round(1, (A,), term=2))
    assert len(of(Commit, actions)) == 1


def test_a_member_lost_before_it_was_ready_or_while_the_group_forms_is_not_waited_for() -> None:
    gone = Lost(device=B, why=GONE)
    _, actions = play(start(THREE), ready(A), ready(C), gone)
    assert of(FormGroup, actions) == [group((A, C), 1)]
    forming, _ = play(start(THREE), *(ready(device) for device in THREE))
    _, actions = play(forming, gone)
    assert of(FormGroup, actions) == [group((A, C), 2)]


def test_a_member_lost_during_the_commit_does_not_undo_the_round() -> None:
    life, _ = play(training((A, B, C)), *(trained(device) for device in (A, B, C)), committed(A, 1))
    life, actions = play(life, Lost(device=B, why=GONE), committed(C, 1))
    assert of(Record, actions) == [Record(roster=(A, C))]
    assert actions[-1] == group((A, C), 2, 2, "same")


def test_a_leader_that_cannot_go_on_hands_over_and_fails_a_run_that_has_not_begun() -> None:
    gone = Lost(device=A, why=Sentence("laptop left"))
    life, actions = play(start(), gone)
    assert life == Ended(cause="failed", why=gone.why)
    assert actions[-1] == End(roster=BOTH, cause="failed", why=gone.why)
    forming, _ = play(start(), ready(A), ready(B))
    committing, _ = play(training(), trained(A), trained(B))
    for state in (forming, training(), committing):
        life, actions = play(state, gone)
        assert life == Ended(cause="replaced", why=gone.why)
        assert [action.roster for action in of(HandOver, actions)] == [(B,)]
    assert play(training((A,)), gone)[0] == Ended(cause="failed", why=gone.why)


def test_a_leader_that_is_replaced_hands_over_to_the_other_leader() -> None:
    life, actions = play(training(THREE), Replaced(why=GONE, leader=D))
    assert life == Ended(cause="replaced", why=GONE)
    assert actions == [HandOver(roster=(B, C), why=GONE, leader=D, state_hash="start")]


def test_a_leader_alone_hands_over_after_its_round_so_that_its_work_can_be_kept() -> None:
    replaced = Replaced(why=GONE, leader=D)
    life, actions = play(training((A,)), replaced)
    assert actions == []
    life, actions = play(life, *a_round(1, (A,)))
    assert life == Ended(cause="replaced", why=GONE)
    assert actions[1:] == [Record(roster=(A,)), HandOver(roster=(), why=GONE, leader=D, state_hash="same")]


def test_a_device_that_was_about_to_join_follows_the_next_leader_too() -> None:
    """It would wait for a leader that is still there, and leads no longer."""
    _, actions = play(training(), ready(C), Replaced(why=GONE, leader=D))
    assert actions == [HandOver(roster=(B, C), why=GONE, leader=D, state_hash="start")]


def break_and_answer(life: RunLife, term: int) -> tuple[RunLife, list[Action]]:
    """The group breaks, and every member answers that it still takes part."""
    broken = Broken(term=term, why=Sentence("connection closed"))
    assert isinstance(life, Training)
    roster = life.standing.roster
    life, actions = play(life, broken, broken)
    assert actions == [Question(roster=roster, term=term)]
    life, actions = play(life, *(Answered(device=device, term=term) for device in roster))
    return play(life, *(Grouped(device=device, term=term + 1) for device in roster))[0], actions


def test_a_broken_group_blames_nobody_before_all_were_asked() -> None:
    life, actions = break_and_answer(training(THREE), 1)
    assert actions == [group(THREE, 2)]
    life, _ = play(training(THREE), Broken(term=1, why=GONE), Answered(device=A, term=1), Answered(device=C, term=1))
    assert play(life, Answered(device=B, term=0))[1] == []
    _, actions = play(life, Lost(device=B, why=GONE))
    assert actions == [Drop(device=B, why=GONE), group((A, C), 2)]


def test_a_group_that_breaks_again_and_again_goes_on_without_one_of_them() -> None:
    life: RunLife = training(THREE)
    for term in range(1, MAX_BROKEN_GROUPS):
        life, actions = break_and_answer(life, term)
        assert actions == [group(THREE, term + 1)]
    life, actions = play(life, Broken(term=MAX_BROKEN_GROUPS, why=Sentence("connection closed")))
    assert [drop.device for drop in of(Drop, actions)] == [C]
    assert actions[-1] == group(BOTH, MAX_BROKEN_GROUPS + 1)


def test_a_newcomer_joins_the_next_group_and_receives_the_state() -> None:
    life, actions = play(training(), ready(C), trained(A), trained(B))
    assert of(FormGroup, actions) == []
    life, actions = play(life, committed(A, 1), committed(B, 1))
    assert actions[-1] == group(THREE, 2, 2, "same", BOTH)
    life, actions = play(life, *(Grouped(device=device, term=2) for device in THREE))
    assert of(OpenRound, actions)[0].roster == THREE
    # -- if it breaks now, all three hold the state
    _, actions = play(life, Lost(device=B, why=GONE))
    assert actions[-1] == group((A, C), 3, 2, "same")


def test_a_device_that_comes_back_with_the_state_need_not_receive_it() -> None:
    _, actions = play(training(), ready(C, "same", "start"), *a_round(1))
    assert actions[-1] == group(THREE, 2, 2, "same")


def test_a_newcomer_that_is_lost_before_it_joined_disturbs_nobody() -> None:
    life, actions = play(training(), ready(C), Lost(device=C, why=GONE))
    assert actions == [Drop(device=C, why=GONE)]
    assert life == training()


def test_a_newcomer_that_never_gets_the_state_is_the_one_to_be_dropped() -> None:
    life, _ = play(training(), ready(C), *a_round(1))
    for term in range(2, 2 + MAX_BROKEN_GROUPS):
        life, actions = play(life, Broken(term=term, why=GONE), *(Answered(device=d, term=term) for d in THREE))
    assert [drop.device for drop in of(Drop, actions)] == [C]


def commit_of_another(leader: DeviceId, number: int, state: str, tokens: int) -> LastCommit:
    seats = tuple(RosterMember(device=device, name=device[:1]) for device in THREE)
    return LastCommit(
        term=Term(number=4, leader=leader), round=number, step=2 * number, tokens=tokens, state_hash=state, roster=seats
    )


def test_a_new_leader_goes_on_from_the_last_commit_that_any_member_knows() -> None:
    """The old leader was lost in the middle of a commit: C has committed what B has only trained."""
    older, newer = commit_of_another(A, 5, "five", 100), commit_of_another(A, 6, "six", 120)
    life = rounds.begin((B, C), 5, 0, NO_EVALUATION, is_taken_over=True)
    life_after, actions = play(life, ready(B, "six", "five", last=older), ready(C, "six", "five", last=newer, term=7))
    assert actions == [Adopt(last=newer), group((B, C), 8, 12, "six")]
    assert not isinstance(life_after, Preparing | Ended)
    assert (life_after.standing.round, life_after.standing.step) == (7, 12)


def test_a_new_leader_goes_on_from_a_later_commit_that_a_newcomer_brings() -> None:
    """While it waits for C, D comes back from another part of the cell, which has trained on."""
    older, newer = commit_of_another(A, 5, "five", 100), commit_of_another(C, 6, "six", 120)
    life = rounds.begin((B, C), 5, 0, NO_EVALUATION, is_taken_over=True)
    life, _ = play(life, ready(B, "five", last=older), ready(D, "six", last=newer, term=9))
    assert play(life, Lost(device=C, why=GONE))[1][1:] == [Adopt(last=newer), group((B, D), 10, 12, "six", (D,))]
    # -- or it goes again before that
    assert play(life, Lost(device=D, why=GONE), Lost(device=C, why=GONE))[1][-1] == group((B,), 10, 10, "five")


def test_a_new_leader_does_not_go_on_from_a_commit_whose_state_is_lost() -> None:
    older, newer = commit_of_another(A, 5, "five", 100), commit_of_another(A, 6, "six", 120)
    life = rounds.begin((B, C), 5, 0, NO_EVALUATION, is_taken_over=True)
    _, actions = play(life, ready(B, "five", last=older), ready(C, "start", last=newer))
    assert actions == [Adopt(last=older), group((B, C), 6, 10, "five", (B,))]


def test_a_new_leader_that_knows_no_commit_goes_on_from_the_start_and_not_from_a_round_that_was_only_trained() -> None:
    """I2: its steps would be trained twice."""
    life = rounds.begin((B, C), 5, 0, NO_EVALUATION, is_taken_over=True)
    _, actions = play(life, ready(B, "trained", "start"), ready(C, "start"))
    assert actions == [group((B, C), 6, 0, "start")]


def test_without_anybody_that_holds_the_state_the_run_fails() -> None:
    life, _ = play(
        rounds.begin((B, C), 5, 0, NO_EVALUATION, is_taken_over=True),
        ready(B, "other", last=None),
        ready(C, "five", last=commit_of_another(A, 5, "five", 100)),
        Lost(device=C, why=GONE),
    )
    assert life == Ended(cause="failed", why="nobody that is left holds the state after step 10")


def test_one_that_is_suddenly_alone_waits_before_it_goes_on() -> None:
    life, actions = play(training(), Lost(device=B, why=GONE, is_silent=True))
    assert isinstance(life, Alone)
    assert actions == [Drop(device=B, why=GONE), StandBy(term=1)]
    # -- nobody comes back
    assert play(life, StillAlone(term=1))[1] == [group((A,), 2)]
    # -- it was this device that slept, and the link is back
    assert play(life, ready(B, "start"))[1] == [group(BOTH, 2)]
    # -- meanwhile another one leads
    assert isinstance(play(life, Replaced(why=GONE, leader=B))[0], Ended)


def test_a_group_that_breaks_during_the_commit_is_formed_again_after_it() -> None:
    life, _ = play(training(), trained(A), trained(B), Broken(term=1, why=Sentence("x")))
    _, actions = play(life, committed(A, 1), committed(B, 1))
    assert actions[-1] == group(BOTH, 2, 2, "same")


def test_a_stop_waits_for_the_round_and_keeps_a_checkpoint() -> None:
    life, actions = play(training(), StopAsked(), *a_round(1))
    assert of(OpenRound, actions) == [OpenRound(roster=BOTH, term=1, round=2, step=2, num_steps=0, is_evaluated=True)]
    life, actions = play(life, *a_round(2))
    assert [(a.step, a.is_checkpoint) for a in of(Commit, actions)] == [(2, True)]
    assert life == Ended(cause="stopped")


def test_a_stop_after_an_evaluated_round_needs_no_other_one() -> None:
    evaluated = Training(standing=standing(number=3, step=2), num_steps=2, is_evaluated=True)
    life, actions = play(evaluated, StopAsked(), *a_round(3))
    assert [a.is_checkpoint for a in of(Commit, actions)] == [True]
    assert life == Ended(cause="stopped")


def losses_of(losses: list[float], patience: int, start: HeldOutRecord = NO_EVALUATION, first: int = 0) -> list[Commit]:
    """The commits of a run that evaluates after every second step, with these losses before the first step and then."""
    ledger = Ledger(num_samples=1000, batch_samples=1, epochs=1, evaluate_every=2, patience=patience)

    def then(life: RunLife, event: RunEvent) -> tuple[RunLife, tuple[Action, ...]]:
        return rounds.transition(life, event, ledger, PACE)

    life, _ = then(rounds.begin((A,), 0, first, start), ready(A))
    life, _ = then(life, Grouped(device=A, term=1))
    commits = []
    for loss in losses:
        while isinstance(life, Training):
            shown = loss if life.is_evaluated else None
            result = RoundTrained(state_hash="s", tokens=1, loss=1.0, val_loss=shown, average_val_loss=shown)
            was_evaluated = life.is_evaluated
            life, (commit,) = then(life, Trained(device=A, term=1, result=result))
            assert isinstance(commit, Commit)
            commits.append(commit)
            life, _ = then(life, committed(A, commit.round))
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
    over = Ended(cause="failed", why=Sentence("x"))
    events = (trained(A), ready(A), committed(B, 1), Lost(device=A, why=Sentence("y")), StopAsked())
    assert play(over, *events) == (over, [])


def test_an_answer_out_of_turn_changes_nothing() -> None:
    for event in (trained(A, term=0), committed(A, 0), Grouped(device=A, term=0), trained(A, term=1)):
        assert play(start(), event) == (start(), [])
    assert play(training(), ready(B), trained(C), committed(A, 1)) == (training(), [])


def test_a_round_takes_about_ten_seconds() -> None:
    def steps(seconds: float | None, number: int, mode: RunMode = "ddp") -> int:
        return steps_for_round(Pace(round_seconds=10.0, seconds_per_step=seconds), number, mode)

    assert steps(None, 2) == 2
    assert steps(0.1, 1) == 2
    assert steps(0.1, 2) == 100
    assert steps(60.0, 2) == 1
    assert steps(0.001, 2) == MAX_ROUND_STEPS
    assert steps(0.001, 2, "local") == 10_000  # many devices take them, each a few


DEVICES = st.sampled_from([A, B, C])
EVENTS = st.one_of(
    st.builds(ready, DEVICES, st.sampled_from(["start", "same"])),
    st.builds(Grouped, device=DEVICES, term=st.integers(1, 4)),
    st.builds(trained, DEVICES, st.sampled_from(["same", "other"]), st.integers(1, 4)),
    st.builds(committed, DEVICES, st.integers(0, 3)),
    st.builds(Lost, device=DEVICES, why=st.just(GONE), is_silent=st.booleans()),
    st.builds(Answered, device=DEVICES, term=st.integers(1, 4)),
    st.builds(StillAlone, term=st.integers(1, 4)),
    st.builds(Broken, term=st.integers(1, 4), why=st.just(Sentence("broken"))),
    st.builds(StopAsked),
)


@settings(max_examples=500)
@given(st.lists(EVENTS, max_size=60))
def test_whatever_happens_a_run_ends_once_and_only_commits_what_its_roster_trained_alike(
    events: list[RunEvent],
) -> None:
    """I3, and I2: a step counts once, because a commit continues where the last one ended."""
    life: RunLife = start((A, B, C))
    ends, step, term, present = 0, 0, 0, {A, B, C}
    for event in events:
        before = life
        life, actions = rounds.transition(life, event, LEDGER, PACE)
        ends += len(of(End, [*actions])) + len(of(HandOver, [*actions]))
        for action in actions:
            match action:
                case FormGroup():
                    assert action.term == term + 1
                    assert action.step == step
                    assert action.holders <= set(action.roster)
                    assert action.holders
                    assert len(set(action.roster)) == len(action.roster)
                    present |= set(action.roster)
                    term = action.term
                case Drop():
                    present.discard(action.device)
                case Commit():
                    assert isinstance(before, Training)
                    assert isinstance(event, Trained)
                    results = {**before.results, event.device: event.result}
                    assert {results[device].state_hash for device in action.roster} == {action.result.state_hash}
                    assert set(action.roster) <= present
                    assert before.standing.step == step
                    step = action.step
    assert ends == (1 if isinstance(life, Ended) else 0)


def test_rounds_become_shorter_where_devices_are_lost_and_longer_where_a_commit_is_slow() -> None:
    calm = round_seconds(10.0, 0.1, 0.0, 0)
    assert calm == 10.0
    assert round_seconds(10.0, 0.1, 1200.0, 40) == pytest.approx((2 * 0.1 * 1800 / 41) ** 0.5)
    lengths = [round_seconds(60.0, 0.2, 600.0, lost) for lost in range(50)]
    assert lengths == sorted(lengths, reverse=True)
    assert round_seconds(60.0, 2.0, 600.0, 5) > round_seconds(60.0, 0.2, 600.0, 5)
    assert round_seconds(0.5, 0.1, 600.0, 1000) == 0.5  # as a person has asked
    assert round_seconds(10.0, 0.0, 600.0, 10_000) == 1.0
    assert round_seconds(60.0, 0.2, 600.0, 3, costly=0.25) == 2 * round_seconds(60.0, 0.2, 600.0, 3)


# -- local rounds ------------------------------------------------------------------------------------------------------

LOCAL = replace(LEDGER, num_samples=80, mode="local")  # twenty steps


def local_round(life: RunLife, *events: RunEvent) -> tuple[RunLife, list[Action]]:
    actions: list[Action] = []
    for event in events:
        life, new = rounds.transition(life, event, LOCAL, PACE)
        actions += new
    return life, actions


def in_a_local_round() -> tuple[RunLife, list[Action]]:
    """Three devices have committed the start, and open their first round of two steps."""
    life: RunLife = rounds.begin(THREE, 0, 0, NO_EVALUATION)
    devices = (ready(device, "start") for device in THREE)
    grouped = (Grouped(device=device, term=1) for device in THREE)
    alike = (trained(device, "same") for device in THREE)
    life, _ = local_round(life, *devices, *grouped, *alike)
    return local_round(life, *(committed(device, 0) for device in THREE))


def test_in_a_local_round_each_member_is_dealt_steps_and_all_average_at_its_end() -> None:
    life, actions = in_a_local_round()
    assert [action.is_together for action in of(OpenRound, actions)] == [False]
    dealt = {action.device: action.steps for action in of(Deal, actions)}
    assert dealt == {A: (0, 1), B: (1, 2)}
    life, actions = local_round(life, Took(device=A, first_step=0, count=1), Took(device=B, first_step=1, count=1))
    assert [(action.roster, action.num_steps) for action in of(Average, actions)] == [(THREE, 2)]
    _, actions = local_round(life, *(trained(device, "averaged") for device in THREE))
    assert [action.taken for action in of(Commit, actions)] == [{A: ((0, 1),), B: ((1, 2),)}]


def test_the_others_take_the_steps_of_a_lost_member_and_keep_their_own() -> None:
    life, _ = in_a_local_round()
    life, actions = local_round(life, Took(device=B, first_step=1, count=1), Lost(device=B, why=GONE))
    assert [(action.device, action.steps) for action in of(Deal, actions)] == [(C, (1, 2))]
    life, actions = local_round(life, Took(device=C, first_step=1, count=1), Took(device=A, first_step=0, count=1))
    assert [(action.roster, action.term, action.keeps_steps) for action in of(FormGroup, actions)] == [
        ((A, C), 2, True)
    ]
    life, actions = local_round(life, Grouped(device=A, term=2), Grouped(device=C, term=2))
    assert [action.roster for action in of(Average, actions)] == [(A, C)]


def test_a_member_that_keeps_the_others_waiting_is_cut_and_what_it_has_finished_counts() -> None:
    life, _ = in_a_local_round()
    life, actions = local_round(life, Took(device=A, first_step=0, count=1))
    (look,) = of(LookAgain, actions)
    looked = Looked(term=look.term, round=look.round, num_answers=look.num_answers)
    assert local_round(life, replace(looked, num_answers=0))[1] == []  # somebody has answered since
    life, actions = local_round(life, looked)
    assert [(action.device, action.first_step, action.at_once) for action in of(CallBack, actions)] == [(B, 1, True)]
    life, actions = local_round(life, Took(device=B, first_step=1, count=0))
    dealt = of(Deal, actions)
    assert [action.steps for action in dealt] == [(1, 2)]
    assert dealt[0].device != B
    life, actions = local_round(life, Took(device=dealt[0].device, first_step=1, count=1))
    assert [action.roster for action in of(Average, actions)] == [THREE]


def test_an_average_that_breaks_is_done_again_with_the_same_steps() -> None:
    life, _ = in_a_local_round()
    life, _ = local_round(life, Took(device=A, first_step=0, count=1), Took(device=B, first_step=1, count=1))
    life, actions = local_round(life, Broken(term=1, why=Sentence("x")))
    assert [action.term for action in of(Question, actions)] == [1]
    life, actions = local_round(life, *(Answered(device=device, term=1) for device in THREE))
    assert [action.keeps_steps for action in of(FormGroup, actions)] == [True]
    life, actions = local_round(life, *(Grouped(device=device, term=2) for device in THREE))
    assert [action.num_steps for action in of(Average, actions)] == [2]


def test_a_local_round_that_should_stop_ends_with_what_is_dealt() -> None:
    long = replace(PACE, seconds_per_step=0.5)  # twenty steps a round
    life, _ = in_a_local_round()
    life, _ = local_round(life, Took(device=A, first_step=0, count=1), Took(device=B, first_step=1, count=1))
    life, _ = local_round(life, *(trained(device, "averaged") for device in THREE))
    for device in THREE:
        life, actions = rounds.transition(life, committed(device, 1), LOCAL, long)
    dealt = {action.device: action.steps for action in of(Deal, [*actions])}
    last = max(stop for _, stop in dealt.values())
    assert last < 20
    life, _ = local_round(life, StopAsked())
    for device, (start, stop) in dealt.items():
        life, new = local_round(life, Took(device=device, first_step=start, count=stop - start))
    assert [(action.num_steps, action.is_evaluated) for action in of(Average, new)] == [(last - 2, False)]
    life, new = local_round(life, *(trained(device, "ended") for device in THREE))
    life, new = local_round(life, *(committed(device, 2) for device in THREE))
    assert [(action.num_steps, action.is_evaluated) for action in of(OpenRound, new)] == [(0, True)]


def test_a_group_that_breaks_while_steps_are_taken_gives_the_round_up() -> None:
    """Whose steps are lost is not known then."""
    life, _ = in_a_local_round()
    life, _ = local_round(life, Took(device=B, first_step=1, count=1), Broken(term=1, why=Sentence("x")))
    _, actions = local_round(life, *(Answered(device=device, term=1) for device in THREE))
    assert [action.keeps_steps for action in of(FormGroup, actions)] == [False]
