"""The line that a person can repeat says what the rounds prove, and no more."""

from dataclasses import replace
from typing import Any

import pytest

from cellmind_agent.planning.story import merged, story_of
from cellmind_agent.protocol import messages as m
from cellmind_ctl.closing import closing_line, exact_duration, turnover
from model.line.sentence import Sentence
from tests.ctl.screens import run
from tests.planning.histories import RUN_SPEC, Cell
from tests.protocol.examples import RUN

VIEW = run("run-1125-6ae30a", "finished", 21, 4.06)
AUDIT = m.SamplesAudit(num_samples=1000, batch_samples=16, num_epochs=3, epoch=3, num_counted=0)
STORY = m.RunStory(
    run=RUN,
    seconds=7810.0,
    contributions=tuple(m.Contribution(name=name, tokens=5) for name in "abcd"),
    checkpoints=(),
    redone_seconds=41.0,
    changes=tuple(
        m.RosterChange(kind=kind, name=name, step=step)
        for step, name in enumerate("bcd")
        for kind in ("left", "returned")
    ),
    audit=AUDIT,
)


def line(state: str = "finished", **changed: Any) -> str:
    audit = {key: changed.pop(key) for key in list(changed) if key in ("epoch", "num_counted", "num_missing", "faults")}
    return closing_line(replace(VIEW, state=state), replace(STORY, audit=replace(AUDIT, **audit), **changed))


def test_the_line_has_devices_time_turnover_redone_work_and_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line() == (
        "4 devices, 2 h 10 min, 3 left and came back, 41 s of work redone, "
        "every part of your training text used exactly 3 times"
    )
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    assert line() == (
        "기기 4대, 2시간 10분, 3대가 나갔다가 돌아옴, 41초 분량을 다시 학습, 학습 텍스트를 빠짐없이 정확히 3번씩 사용"
    )


def test_a_run_of_one_device_without_trouble_says_little() -> None:
    alone = {"contributions": STORY.contributions[:1], "changes": (), "redone_seconds": 0.0, "seconds": 41.0}
    assert line(epoch=1, **alone) == "1 device, 41 s, every part of your training text used exactly once"
    assert (
        line(epoch=0, num_counted=379, **alone) == "1 device, 41 s, 37% of your training text used, no part of it twice"
    )


@pytest.mark.parametrize(
    ("epoch", "counted", "use"),
    [
        (0, 0, "0% of your training text used, no part of it twice"),
        (0, 1, "<1% of your training text used, no part of it twice"),
        (0, 999, "99% of your training text used, no part of it twice"),
        (1, 500, "every part of your training text used exactly once, and 50% of it once more"),
        (2, 0, "every part of your training text used exactly 2 times"),
        (2, 160, "every part of your training text used exactly 2 times, and 16% of it once more"),
    ],
)
def test_a_run_that_ended_within_an_epoch_says_how_much_was_used_more(epoch: int, counted: int, use: str) -> None:
    assert line("stopped", epoch=epoch, num_counted=counted).endswith(f", {use}")
    assert line("training", epoch=epoch, num_counted=counted).startswith("so far: 4 devices, ")


def test_what_is_not_proved_is_not_claimed() -> None:
    known = m.Period(term=2, first_step=5, step=20, members=STORY.contributions, seconds=1.0)
    missing = line(num_missing=80, periods=(known,))
    assert missing.endswith(
        "25% of the training is known to no device online: how often your text was used is not proved"
    )
    fault = Sentence("epoch {epoch} used {count} samples twice", epoch=2, count=16)
    faulty = line(num_missing=80, faults=(fault,), periods=(known,))
    assert faulty.endswith("your training text was not used evenly: epoch 2 used 16 samples twice")
    assert "exactly" not in missing + faulty


def test_a_run_that_nobody_online_knows_has_no_line() -> None:
    assert closing_line(VIEW, m.RunStory(run=RUN, seconds=0.0, contributions=(), checkpoints=())) == ""
    assert line(contributions=()) == ""


def test_a_device_is_in_one_list_by_the_last_that_it_did() -> None:
    kinds = {"a": ["joined", "left"], "b": ["left", "returned"], "c": ["joined"], "d": ["left", "returned", "left"]}
    changes: list[Any] = [m.RosterChange(kind=kind, name=name, step=0) for name in kinds for kind in kinds[name]]
    changes.append(m.RosterChange(kind="led", name="c", step=9))
    assert turnover(changes) == (["c"], ["b"], ["a", "d"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (754, "13 min"),
        (3590, "1 h 0 min"),
        (7810, "2 h 10 min"),
        (86_390, "1 d 0 h"),
        (93_700, "1 d 2 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert exact_duration(seconds) == text


def test_the_line_of_a_cell_in_which_everybody_left_and_came_back() -> None:
    cell = Cell()
    for roster in ("abcd", "bcd", "bcda", "cda", "cdab", "dab", "dabc", "abc", "abcd"):
        cell.regroup(roster)
        cell.train(min(cell.step + 3, 21))
        if roster == "bcd":
            cell.break_round(4.0)
    story = merged(RUN, [story_of(RUN_SPEC, log, ()) for log in cell.logs.values()])
    assert closing_line(VIEW, story).endswith(
        "4 left and came back, 3 s of work redone, every part of your training text used exactly 3 times"
    )
    alone = merged(RUN, [story_of(RUN_SPEC, cell.logs["c"], ())])
    assert closing_line(VIEW, alone).endswith("how often your text was used is not proved")
