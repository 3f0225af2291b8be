"""The audit of a run finds every way in which steps can be trained twice, or not at all."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from tests.audit import Audit, Committed, audit_run

BATCH = 6
RUN = "run-0101-abcdef"
THREE = (("one", 2), ("two", 2), ("three", 2))


def committed(term: int, number: int, first_step: int, step: int, shares: tuple[tuple[str, int], ...]) -> Committed:
    return Committed(
        term=term,
        round=number,
        first_step=first_step,
        step=step,
        tokens=10 * step,
        state_hash=f"{step}-of-{shares[0][0]}",
        shares=shares,
    )


@dataclass
class History:
    """What the members recorded."""

    folder: Path
    logs: dict[str, list[Committed]] = field(default_factory=lambda: {"one": [], "two": [], "three": []})

    def commit(self, record: Committed, *but: str) -> Committed:
        """All members record the round but these."""
        for name in set(record.members) - set(but):
            self.logs[name].append(record)
        return record

    def audit(self, last_step: int, *excused: str) -> Audit:
        homes = {name: self.folder / name for name in self.logs}
        for name, home in homes.items():
            (home / "runs" / RUN).mkdir(parents=True)
            lines = [json.dumps({"event": "RoundStarted", "round": 0}), *map(line_of, self.logs[name]), '{"event": "Ro']
            (home / "runs" / RUN / "events.jsonl").write_text("\n".join(lines))
        return audit_run(homes, RUN, last_step, BATCH, set(excused))


def line_of(record: Committed) -> str:
    plain = asdict(record)
    members = [{"name": name, "share": share} for name, share in plain.pop("shares")]
    return json.dumps({"event": "RoundCommitted", **plain, "members": members})


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Three members have trained ten steps together."""
    made = History(tmp_path)
    for number, (first_step, step) in enumerate(((0, 0), (0, 4), (4, 10))):
        made.commit(committed(1, number, first_step, step, THREE))
    return made


def test_an_undisturbed_run_is_exact(history: History) -> None:
    found = history.audit(10)
    assert found.faults == ()
    assert [record.step for record in found.lineage] == [0, 4, 10]
    assert found.discarded == ()


def test_a_run_whose_leader_was_lost_and_came_back_is_exact(history: History) -> None:
    history.commit(committed(2, 3, 10, 15, (("two", 3), ("three", 3))))
    history.commit(committed(3, 4, 15, 20, (("two", 2), ("three", 2), ("one", 2))))
    found = history.audit(20)
    assert found.faults == ()
    assert found.steps == 20


def test_a_run_that_only_newcomers_go_on_with_is_exact(history: History) -> None:
    history.logs["four"] = []
    history.commit(committed(3, 3, 10, 15, (("four", 6),)))
    assert history.audit(15).faults == ()


def test_rounds_of_a_leader_that_was_cut_off_are_discarded(history: History) -> None:
    history.commit(committed(2, 3, 10, 16, (("one", 6),)))
    history.commit(committed(2, 3, 10, 15, (("two", 3), ("three", 3))))
    history.commit(committed(3, 4, 15, 20, (("two", 2), ("three", 2), ("one", 2))))
    found = history.audit(20)
    assert found.faults == ()
    assert [record.step for record in found.discarded] == [16]
    assert found.discarded_tokens == 60


def test_rounds_after_the_checkpoint_of_a_resumed_run_are_discarded(history: History) -> None:
    history.commit(committed(2, 0, 4, 4, THREE))
    history.commit(committed(2, 1, 4, 12, THREE))
    found = history.audit(12)
    assert found.faults == ()
    assert [record.step for record in found.lineage] == [0, 4, 4, 12]
    assert [record.step for record in found.discarded] == [10]


def test_a_round_that_begins_too_late_leaves_steps_out(history: History) -> None:
    gap = history.commit(committed(2, 3, 11, 15, THREE))
    assert history.audit(15).faults == (f"nothing was recorded before {gap}",)


def test_a_round_that_begins_too_early_discards_one(history: History) -> None:
    history.commit(committed(2, 3, 4, 15, THREE))
    assert [record.step for record in history.audit(15).discarded] == [10]


def test_a_member_that_records_another_state_is_found(history: History) -> None:
    record = history.commit(committed(1, 3, 10, 15, THREE), "three")
    history.logs["three"].append(replace(record, state_hash="other"))
    three = "three has recorded round 3 of term 1 (steps 10 to 15, other, one, two, three)"
    assert history.audit(15).faults == (f"three has not recorded {record}", f"{three} instead of {record}")


def test_a_member_that_was_down_may_lack_a_round(history: History) -> None:
    record = history.commit(committed(1, 3, 10, 15, THREE), "two", "three")
    assert history.audit(15, "three").faults == (f"two has not recorded {record}",)


def test_shares_must_make_up_the_batch_and_tokens_must_not_fall(history: History) -> None:
    short = committed(1, 3, 10, 15, (("one", 2), ("two", 2), ("three", 1)))
    history.commit(short)
    fallen = history.commit(replace(committed(1, 4, 15, 20, THREE), tokens=100))
    shares = "the shares {'one': 2, 'two': 2, 'three': 1} do not add up to 6"
    assert history.audit(20).faults == (f"{shares}: {short}", f"the tokens fall from 150 to 100: {fallen}")


def test_a_final_model_with_another_hash_is_found(history: History) -> None:
    folder = history.folder / "two" / "models" / RUN
    folder.mkdir(parents=True)
    (folder / "000000010.json").write_text(json.dumps({"state_hash": "something else"}))
    last = history.logs["two"][-1]
    assert history.audit(10).faults == (f"two holds a checkpoint somethin of {last}",)


def test_a_run_without_records_is_not_exact(history: History) -> None:
    assert history.audit(11).faults == ("no member has recorded a round that ends at step 11",)
