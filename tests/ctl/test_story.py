"""How a run went, as people see it: stored screens at three widths in two languages, and nothing of others unfiltered.

`CELLMIND_WRITE_SCREENS=1 pytest tests/ctl/test_story.py` writes the screens again after a change.
"""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from cellmind_agent.protocol import messages as m
from cellmind_ctl import story
from model.line.continuation import Continuation
from model.line.sentence import Sentence
from tests.ctl.screens import run

FOLDER = Path(__file__).parent / "screens"
NOW = 1_764_000_300.0
PROMPTS = ("오늘 점심은 뭐", "내일 몇 시에\n만날까", "so I thought that we")
TEXTS = {
    2: ("ㅋㅋ 이이 요요 ㅋㅋㅋ 다다 는 는 는", "가 ㅠ 어어 이 이", "th e e a a r"),
    40: ("먹었어 ㅋㅋㅋ 그래", "저녁에 가자\n그래 좋아", "can be the"),
    124: ("먹을까? 나는 김치찌개가 먹고 싶은데 너는 뭐 먹고 싶어 말해 봐", "일곱 시 어때", "could go to the sea"),
}


def checkpoint(step: int, val_loss: float) -> m.CheckpointStory:
    found = [Continuation(prompt=prompt, text=text) for prompt, text in zip(PROMPTS, TEXTS[step], strict=True)]
    return m.CheckpointStory(step=step, time=NOW, val_loss=val_loss, continuations=tuple(found))


VIEW = replace(run("run-1125-6ae30a", "finished", 124, 4.06), tokens=1_606_423)
STORY = m.RunStory(
    run=VIEW.run,
    seconds=754.0,
    contributions=(
        m.Contribution(name="거실에 있는 아주 오래된 노트북", tokens=1_104_310),
        m.Contribution(name="desktop", tokens=402_113),
        m.Contribution(name="phone", tokens=100_000),
    ),
    checkpoints=(checkpoint(2, 7.598), checkpoint(40, 5.2), checkpoint(124, 4.06)),
    redone_tokens=20_480,
    redone_seconds=9.6,
    best_step=118,
    best_val_loss=3.97,
    changes=(
        m.RosterChange(kind="led", name="desktop", step=0),
        m.RosterChange(kind="joined", name="거실에 있는 아주 오래된 노트북", step=14),
        m.RosterChange(
            kind="left",
            name="phone",
            step=40,
            why=Sentence("{name} left the run: {why}", name="phone", why=Sentence("it fell silent")),
        ),
        m.RosterChange(kind="left", name="desktop", step=90),
        m.RosterChange(kind="returned", name="phone", step=90),
        m.RosterChange(kind="led", name="phone", step=90),
        m.RosterChange(kind="returned", name="desktop", step=103),
    ),
    audit=m.SamplesAudit(num_samples=990, batch_samples=16, num_epochs=2, epoch=2, num_counted=0),
)


def shown(
    columns: int, view: m.RunView = VIEW, found: m.RunStory = STORY, most: int | None = 5, is_cut: bool = True
) -> str:
    screen = Console(file=io.StringIO(), width=columns)
    with screen.capture() as captured:
        story.write(screen, view, found, most, NOW, is_cut)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_story_is_as_stored(columns: int, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", language)
    text = shown(columns)
    stored = FOLDER / f"story-{columns}-{language}.txt"
    if os.environ.get("CELLMIND_WRITE_SCREENS"):
        stored.write_text(text, encoding="utf-8")
    assert all(cell_len(line) <= columns for line in text.splitlines())
    assert text == stored.read_text(encoding="utf-8")


def test_of_many_checkpoints_some_are_shown_and_all_on_request() -> None:
    many = replace(STORY, checkpoints=tuple(replace(checkpoint(2, 7.0), step=step) for step in range(1001, 1041)))
    assert shown(80, found=many).count("\n1,0") == 3 * 5
    assert shown(80, found=many, most=None).count("\n1,0") == 3 * 40
    found = story.to_json(many)["checkpoints"]
    assert isinstance(found, list)
    assert len(found) == 40


def test_texts_reach_a_terminal_without_what_it_obeys() -> None:
    bad = Continuation(prompt="a\x1b[2J\u202eb", text="[bold]c\x1b]0;title\x07 :smile:\r\nd")
    hostile = replace(
        STORY,
        contributions=(m.Contribution(name="x\x1b[31m", tokens=1),),
        checkpoints=(replace(checkpoint(2, 7.0), continuations=(bad,)),),
    )
    text = shown(80, replace(VIEW, state="failed", error="no\x1b[2J"), hostile)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold]c" in text
    assert ":smile: / d" in text


def test_a_pipe_gets_each_text_on_one_line() -> None:
    long = replace(checkpoint(2, 7.0), continuations=(Continuation(prompt="a", text="낱말 " * 30),))
    lines = shown(80, found=replace(STORY, checkpoints=(long,)), is_cut=False).splitlines()
    assert any(line.endswith(("낱말 " * 30).strip()) for line in lines)
    assert lines[-1].startswith("3 devices, ")
    assert lines[-1].endswith("exactly 2 times")


def test_a_run_without_a_story_shows_what_is_known() -> None:
    empty = m.RunStory(run=VIEW.run, seconds=0.0, contributions=(), checkpoints=())
    text = shown(80, found=empty)
    assert "4.060" in text
    assert "NAME" not in text
    assert story.to_json(empty)["contributions"] == []


def test_the_last_changes_of_the_roster_are_shown_and_all_on_request() -> None:
    changes = tuple(m.RosterChange(kind="joined", name=f"device{step}", step=step) for step in range(20))
    many = replace(STORY, changes=changes)
    text = shown(80, found=many)
    assert text.count("joined\n") == story.SHOWN_CHANGES
    assert "device19" in text
    assert "device7 " not in text
    assert shown(80, found=many, most=None).count("joined\n") == 20


def test_scripts_get_what_the_closing_line_says() -> None:
    found = story.to_json(STORY)
    assert (found["joined"], found["returned"]) == (["거실에 있는 아주 오래된 노트북"], ["desktop", "phone"])
    assert (found["left"], found["redone_seconds"]) == ([], 9.6)
    assert found["samples"] == {
        "num_samples": 990,
        "batch_samples": 16,
        "num_epochs": 2,
        "epoch": 2,
        "num_counted": 0,
        "num_missing": 0,
        "faults": [],
        "is_proved": True,
    }
    changes = found["changes"]
    assert isinstance(changes, list)
    assert changes[2] == {"kind": "left", "name": "phone", "step": 40, "why": "phone left the run: it fell silent"}
    assert changes[3]["why"] is None
