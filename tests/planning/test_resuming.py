"""Which run may go on after it was interrupted, and from which checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest

from cellmind_agent.planning.resuming import (
    DIVERGED,
    interrupted_run,
    is_worth_waiting,
    may_go_on,
    newest_checkpoint,
)
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import BlobId, DeviceId, RunId
from cellmind_agent.protocol.messages import LastCommit, ModelView, RosterMember, RunSpec, RunState, RunView, Term
from cellmind_agent.protocol.plain import from_plain, to_plain
from model.line.sentence import Sentence
from tests.planning.peers import peer

ROOT = Path(__file__).parents[2]
ONE, TWO = DeviceId("a" * 52), DeviceId("b" * 52)
REF = BlobRef(id=BlobId("0" * 64), size=1)
RUN = RunId("run-1")
SPEC = RunSpec(run=RUN, config=REF, tokenizer=REF, manifest=REF, shards=(), num_samples=9, batch_samples=3, epochs=1)
VIEW = RunView(
    run=RUN, state="training", roster=("one",), leader=ONE, step=1, total_steps=3, tokens=9, created=1.0, term=2
)
MODEL = ModelView(
    model=RUN, step=1, tokens=9, state_hash="cd" * 32, files={}, tokenizer=REF, created=1.0, val_loss=None
)  # fmt: skip
LAST = LastCommit(
    term=Term(number=2, leader=ONE), round=1, step=1, tokens=9, state_hash="cd" * 32,
    roster=tuple(RosterMember(device=peer(name).id, name=name) for name in ("me", "other")),
)  # fmt: skip


def failed(why: Sentence | None) -> RunView:
    """As it comes out of a journal or a message."""
    return from_plain(RunView, to_plain(replace(VIEW, state="failed", error=why)))


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [("preparing", True), ("training", True), ("failed", True), ("finished", False), ("stopped", False)],
)
def test_a_run_goes_on_unless_it_had_an_end(state: RunState, goes_on: bool) -> None:
    view = replace(VIEW, state=state)
    assert may_go_on([view]) == goes_on
    assert interrupted_run([(SPEC, view)]) == ((SPEC, view) if goes_on else None)


def test_a_run_that_diverged_would_diverge_again() -> None:
    for template in DIVERGED:
        why = Sentence("{problem} ({hint})", problem=Sentence(template, step="7"), hint=Sentence("lower it"))
        assert not may_go_on([failed(Sentence("{name} left the run: {why}", name="one", why=why))])
    assert may_go_on([failed(Sentence("{name} left the run: {why}", name="one", why=Sentence("it fell silent")))])


def test_the_reasons_of_divergence_are_those_that_the_product_gives() -> None:
    sources = [path for room in ("model", "cellmind_agent") for path in sorted((ROOT / room).rglob("*.py"))]
    others = [path for path in sources if path.parent.name != "korean" and path.name != "resuming.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in others)
    assert [template for template in DIVERGED if f'"{template}"' not in text] == []


def test_one_device_that_saw_the_end_is_enough() -> None:
    assert not may_go_on([VIEW, replace(VIEW, state="finished", step=3)])
    assert not may_go_on([replace(VIEW, state="stopped"), VIEW])


def test_an_end_before_the_last_resume_does_not_count() -> None:
    assert may_go_on([replace(VIEW, state="stopped", term=1), VIEW])


def test_only_the_newest_run_is_interrupted() -> None:
    older, newer = (SPEC, VIEW), (replace(SPEC, run=RunId("run-2")), replace(VIEW, state="finished", created=2.0))
    assert interrupted_run([older, newer]) is None
    assert interrupted_run([]) is None


def test_the_newest_checkpoint_of_any_device_counts_and_best_weights_do_not() -> None:
    later, best = replace(MODEL, step=2), replace(MODEL, step=3, is_best=True)
    other = replace(MODEL, step=9, model=RunId("run-2"))
    assert newest_checkpoint(RUN, [(ONE, (MODEL,)), (TWO, (MODEL, later, best, other))]) == (TWO, later)
    assert newest_checkpoint(RUN, [(ONE, (best, other))]) is None


def test_a_device_of_the_last_round_is_waited_for_and_others_are_not() -> None:
    here, other, stranger = peer("me"), peer("other"), replace(peer("away"), state="asleep")
    assert not is_worth_waiting([here, other, stranger], LAST)
    assert is_worth_waiting([here, replace(other, state="gone", vitals=None)], LAST)
    assert not is_worth_waiting([here, replace(other, state="gone")], None)
    assert not is_worth_waiting([here], LAST)  # it was removed from the cell


def test_a_device_whose_vitals_are_not_known_yet_is_waited_for() -> None:
    assert is_worth_waiting([peer("me"), replace(peer("new"), vitals=None)], LAST)
    assert not is_worth_waiting([peer("me"), replace(peer("new"), vitals=None, paired=False)], LAST)
