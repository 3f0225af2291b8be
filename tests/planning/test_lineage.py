"""What devices that come and go know together of a run: all of it, once, whichever of them was away when."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.planning.lineage import Noted, chain, lineage, periods_of
from cellmind_agent.planning.story import merged, story_of
from cellmind_agent.protocol import messages as m
from model.line.sentence import Sentence
from tests.planning.histories import LEDGER, ROUND_SECONDS, RUN_SPEC, Cell, committed, lost, started
from tests.protocol.examples import DEVICE, RUN

GROUPS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcde"), min_size=1, unique=True),
        st.lists(st.integers(1, 3), max_size=3),
        st.none() | st.sampled_from([1.0, 4.0]),  # after so many seconds the group breaks in the middle of a round
    ),
    min_size=1,
    max_size=8,
)


def played(groups: list[tuple[list[str], list[int], float | None]]) -> Cell:
    cell = Cell()
    for roster, rounds, broken in groups:
        cell.regroup(roster)
        for steps in rounds:
            cell.train(min(cell.step + steps, LEDGER.total_steps))
        if broken is not None and rounds:
            cell.break_round(broken)
    return cell


def told(cell: Cell, *names: str) -> m.RunStory:
    """The story that these devices tell together."""
    return merged(RUN, [story_of(RUN_SPEC, cell.logs[name], ()) for name in names or sorted(cell.logs)])


@settings(deadline=None)
@given(GROUPS)
def test_devices_that_come_and_go_know_the_whole_run_together(
    groups: list[tuple[list[str], list[int], float | None]],
) -> None:
    cell = played(groups)
    story = told(cell)
    assert {one.name: one.tokens for one in story.contributions} == {name: cell.tokens[name] for name in cell.logs}
    assert [(one.kind, one.name, one.step) for one in story.changes] == cell.changes
    assert story.audit is not None
    assert (story.audit.num_missing, story.audit.faults) == (0, ())
    assert story.audit.epoch == cell.step // LEDGER.steps_per_epoch
    assert [(one.first_step, one.step) for one in story.periods] == steps_of_terms(cell)


def steps_of_terms(cell: Cell) -> list[tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for one in cell.rounds:
        found[one.term] = (found.get(one.term, (one.first_step,))[0], one.step)
    return list(found.values())


@given(GROUPS)
def test_one_device_knows_the_rounds_of_its_own_time_and_says_what_it_does_not_know(
    groups: list[tuple[list[str], list[int], float | None]],
) -> None:
    cell = played(groups)
    for name, log in cell.logs.items():
        own = [one for one in cell.rounds if name in {member.name for member in one.members}]
        assert lineage(noted.event for noted in log if isinstance(noted.event, m.RoundCommitted)) == tuple(own)
        audit = told(cell, name).audit
        assert audit is not None
        known = {step for one in own for step in range(one.first_step, one.step)}
        unknown = set(range(max((one.step for one in own), default=0))) - known
        samples = (LEDGER.batch(step) for step in unknown)
        assert audit.num_missing == sum(stop - start for _, start, stop in samples)
        assert audit.faults == ()


def test_everybody_leaves_and_comes_back_one_after_the_other() -> None:
    cell = Cell()
    for roster in ("abcd", "bcd", "bcda", "cda", "cdab", "dab", "dabc", "abc", "abcd"):
        cell.regroup(roster)
        cell.train(cell.step + 2)
    for name in "abcd":
        alone = told(cell, name).audit
        assert alone is not None
        assert alone.num_missing > 0
    story = told(cell)
    assert story.audit is not None
    assert (story.audit.epoch, story.audit.num_counted, story.audit.num_missing) == (2, 4 * 8, 0)
    assert {one.name for one in story.changes if one.kind == "returned"} == set("abcd")
    assert [one.name for one in story.changes if one.kind == "led"] == ["a", "b", "c", "d", "a"]


def test_work_that_broke_off_costs_the_time_until_it_did_but_no_more_than_a_round() -> None:
    cell = Cell()
    cell.regroup("ab")
    cell.train(1)
    cell.break_round(4.0)
    cell.regroup("a")
    cell.train(2)
    story = told(cell)
    assert story.redone_seconds == 4.0
    assert story.redone_tokens == 40  # of the 100 tokens that such a round has
    assert story.seconds == 2 * ROUND_SECONDS + 4.0
    cell.break_round(3600.0)  # the device was asleep
    cell.regroup("a")
    cell.train(3)
    assert told(cell).redone_seconds == 4.0 + ROUND_SECONDS


def test_the_first_sign_ends_the_work_that_counts_as_lost() -> None:
    def cost(*signs: Noted) -> float:
        log = [
            Noted(event=started(0, 2), time=0.0),
            Noted(event=committed(0, 2, {"a": 1.0, "b": 1.0}), time=10.0),
            Noted(event=started(2, 4), time=10.0),
            *signs,
            Noted(event=started(2, 4), time=18.0),
            Noted(event=committed(2, 4, {"a": 1.0}, term=2), time=28.0),
        ]
        return sum(one.redone_seconds for one in periods_of(log))

    led = m.LeaderChanged(run=RUN, name="a", leader=DEVICE, term=2, why=Sentence("it left"))
    assert cost() == 8.0
    assert cost(Noted(event=lost("b"), time=13.0), Noted(event=lost("c"), time=15.0)) == 3.0
    assert cost(Noted(event=led, time=12.5)) == 2.5
    assert cost(Noted(event=lost("b"))) == 8.0  # written by an older version, without a time


def test_a_new_leader_says_why_the_old_one_went() -> None:
    why = Sentence("the leader, {name}, went away", name="a")
    led = m.LeaderChanged(run=RUN, name="b", leader=DEVICE, term=2, why=why)
    log = [
        Noted(event=committed(0, 2, {"a": 1.0, "b": 1.0})),
        Noted(event=led),
        Noted(event=lost("a", "its link was lost")),
        Noted(event=committed(2, 4, {"b": 1.0}, term=2)),
    ]
    (left,) = [one for one in story_of(RUN_SPEC, log, ()).changes if one.kind == "left"]
    assert left == m.RosterChange(kind="left", name="a", step=2, why=why)


def test_a_member_that_is_lost_during_a_commit_leaves_after_that_round() -> None:
    both = {"a": 1.0, "b": 1.0}
    log = [
        Noted(event=committed(0, 2, both)),
        Noted(event=started(2, 4)),
        Noted(event=lost("b")),
        Noted(event=committed(2, 4, both)),
    ]
    apart = [*log, Noted(event=committed(4, 6, {"a": 1.0}, term=2))]
    for ending in (log, apart):
        changes = [(one.kind, one.name, one.step) for one in story_of(RUN_SPEC, ending, ()).changes]
        assert changes == [("led", "a", 0), ("left", "b", 4)]


def test_a_member_that_was_lost_and_is_back_before_the_next_commit_has_left_and_come_back() -> None:
    both = {"a": 1.0, "b": 1.0}
    back = Noted(event=m.MemberJoined(run=RUN, name="b", device_kind="cpu", tuning=Sentence("")))
    for between in ([Noted(event=lost("b")), back], [back, Noted(event=lost("b"))]):
        log = [Noted(event=committed(0, 2, both)), *between, Noted(event=committed(2, 4, both, term=3))]
        changes = [(one.kind, one.name, one.step) for one in story_of(RUN_SPEC, log, ()).changes]
        assert changes == [("led", "a", 0), ("left", "b", 2), ("returned", "b", 2)]


def test_a_round_that_only_a_lost_member_has_committed_is_done_again_and_counts_once() -> None:
    cell = Cell()
    cell.regroup("abc")
    cell.train(4)
    apart = committed(4, 6, {"a": 1.0, "b": 1.0, "c": 1.0}, cell.term)
    cell.note("a", apart)  # and b and c never heard of it
    cell.regroup("bc")
    cell.train(7)
    cell.regroup("bca")
    cell.train(9)
    story = told(cell)
    assert {one.name: one.tokens for one in story.contributions} == dict(cell.tokens)
    assert story.audit is not None
    assert (story.audit.num_missing, story.audit.faults) == (0, ())


def test_a_round_that_the_next_leader_has_not_heard_of_counts_if_another_member_has() -> None:
    cell = Cell()
    cell.regroup("abc")
    cell.train(4)
    cell.train(6, knowing="ac")
    cell.regroup("bc")
    cell.train(8)
    story = told(cell, "b", "c")
    assert {one.name: one.tokens for one in story.contributions} == dict(cell.tokens)
    assert story.audit is not None
    assert story.audit.num_missing == 0
    alone = told(cell, "b").audit
    assert alone is not None
    assert alone.num_missing == 2 * LEDGER.batch_samples


def test_the_part_of_a_cell_that_gave_up_does_not_count() -> None:
    cell = Cell()
    cell.regroup("abcd")
    cell.train(4)
    apart = Cell(logs={name: list(cell.logs[name]) for name in "cd"}, step=4, term=1, present=tuple("abcd"))
    cell.regroup("ab")
    cell.train(9)
    apart.regroup("cd")
    apart.train(8)
    cell.logs |= apart.logs  # they meet again: the rounds of c and d are a model of another name
    cell.regroup("abcd")
    cell.train(12)
    story = told(cell)
    assert {one.name: one.tokens for one in story.contributions} == dict(cell.tokens)
    assert story.audit is not None
    assert (story.audit.num_missing, story.audit.faults) == (0, ())
    left = [(one.name, one.step) for one in story.changes if one.kind == "left"]
    assert left == [("c", 4), ("d", 4)]


def test_a_resume_from_a_checkpoint_does_the_rounds_after_it_again() -> None:
    cell = Cell()
    cell.regroup("ab")
    cell.train(4)
    cell.train(6)
    undone = cell.rounds.pop()
    cell.tokens.subtract({member.name: member.tokens for member in undone.members})
    cell.step = 4
    cell.regroup("a")
    cell.train(9)
    story = told(cell)
    assert {one.name: one.tokens for one in story.contributions} == dict(cell.tokens)
    assert (story.redone_tokens, story.redone_seconds) == (200, ROUND_SECONDS)
    assert story.audit is not None
    assert (story.audit.num_missing, story.audit.faults) == (0, ())


def test_rounds_after_a_checkpoint_are_cut_off_where_only_a_device_knows_them_that_was_not_in_the_resume() -> None:
    before = periods_of([Noted(event=committed(0, 4, {"a": 1.0, "b": 1.0}))])
    resumed = periods_of([Noted(event=committed(3, 5, {"c": 1.0}, term=2))])
    first, second = chain([resumed, before])
    assert second == resumed[0]
    assert (first.step, first.seconds, first.redone_seconds) == (3, 7.5, 2.5)
    assert [member.tokens for member in first.members] == [150, 150]
    assert first.redone_tokens == 100


def test_the_same_round_in_a_log_twice_counts_once() -> None:
    one, other = committed(0, 2, {"a": 1.0}), committed(2, 4, {"a": 1.0}, number=2)
    assert lineage([one, other, other]) == (one, other)
    assert lineage([one, other, replace(other, term=2)]) == (one, replace(other, term=2))


def test_a_member_that_is_lost_after_the_last_round_has_left() -> None:
    log = [Noted(event=committed(0, 2, {"a": 1.0, "b": 1.0})), Noted(event=lost("b")), Noted(event=lost("x"))]
    story = merged(RUN, [story_of(RUN_SPEC, log, ()), story_of(RUN_SPEC, log[:1], ())])
    assert [(one.kind, one.name, one.step) for one in story.changes] == [("led", "a", 0), ("left", "b", 2)]
    assert [(one.name, one.tokens) for one in story.contributions] == [("a", 100), ("b", 100)]


def test_devices_that_know_nothing_have_no_periods() -> None:
    assert chain([]) == chain([(), ()]) == periods_of([]) == periods_of([Noted(event=lost("a"))]) == ()
