"""Which model answers, what the overview proposes, and times in words: decisions on values, without an agent."""

from dataclasses import replace

import pytest

from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.messages import ModelView, RunView
from cellmind_agent.words import t
from cellmind_ctl.commands.invite import length_of_time
from cellmind_ctl.discover import model_to_ask, models_named
from cellmind_ctl.overview import Overview, next_command
from tests.protocol.examples import BEST, MODEL, PEER, VIEW

ME = replace(PEER, is_self=True, name="laptop")
OTHER = replace(PEER, is_self=False, name="phone")


def model(run: str, created: float, step: int = 10, is_best: bool = False) -> ModelView:
    return replace(BEST if is_best else MODEL, model=RunId(run), created=created, step=step, is_best=is_best)


def run(name: str, state: str) -> RunView:
    return replace(VIEW, run=RunId(name), state=state)


def test_the_best_checkpoint_of_the_newest_finished_run_answers() -> None:
    old, last, best = model("run-1", 1.0), model("run-2", 3.0, 20), model("run-2", 2.0, 10, is_best=True)
    training = model("run-3", 9.0)
    runs = [run("run-1", "finished"), run("run-2", "finished"), run("run-3", "training")]
    assert model_to_ask([old, last, best, training], runs) == best
    assert model_to_ask([old, last, training], runs) == last


@pytest.mark.parametrize(
    ("state", "answers"),
    [("training", False), ("preparing", False), ("failed", False), ("finished", True), ("stopped", True)],
)
def test_a_model_whose_run_has_not_ended_well_answers_only_if_there_is_no_other(state: str, answers: bool) -> None:
    older, newer = model("run-1", 1.0), model("run-2", 2.0)
    runs = [run("run-1", "finished"), run("run-2", state)]
    assert model_to_ask([older, newer], runs) == (newer if answers else older)
    assert model_to_ask([newer], runs) == newer


def test_a_model_of_an_unknown_run_counts_as_finished() -> None:
    assert model_to_ask([model("run-1", 1.0), model("run-2", 2.0)], []) == model("run-2", 2.0)
    assert model_to_ask([], []) is None


def test_a_model_is_found_by_the_beginning_of_its_name() -> None:
    models = [model("run-1", 1.0), model("run-12", 2.0)]
    assert models_named(models, "run-1") == models[:1]
    assert models_named(models, "run-12") == models[1:]
    for name in ("run", "run-3"):
        with pytest.raises(UnknownNameError):
            models_named(models, name)


@pytest.mark.parametrize(
    ("members", "state", "has_model", "command"),
    [
        ((ME,), None, False, "cellmindctl invite"),
        ((ME, OTHER), None, False, "cellmindctl train --data FILE"),
        ((ME, OTHER), "failed", False, "cellmindctl train --data FILE"),
        ((ME, OTHER), "training", True, "cellmindctl watch"),
        ((ME, OTHER), "finished", True, 'cellmindctl ask "안녕"'),
        ((ME,), "finished", True, 'cellmindctl ask "안녕"'),
    ],
)
def test_the_overview_proposes_the_likely_next_step(
    members: tuple[object, ...], state: str | None, has_model: bool, command: str
) -> None:
    overview = Overview(
        members=members,  # type: ignore[arg-type]
        run=run("run-1", state) if state else None,
        model=MODEL if has_model else None,
    )
    assert next_command(overview) == command


@pytest.mark.parametrize(
    ("seconds", "english", "korean"),
    [
        (1, "1 second", "1초"),
        (2, "2 seconds", "2초"),
        (60, "1 minute", "1분"),
        (90, "90 seconds", "90초"),
        (600, "10 minutes", "10분"),
        (3600, "1 hour", "1시간"),
        (5400, "90 minutes", "90분"),
        (7200, "2 hours", "2시간"),
        (0.2, "1 second", "1초"),
    ],
)
def test_a_length_of_time_has_the_unit_that_fits(
    seconds: float, english: str, korean: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert length_of_time(seconds) == english
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    assert t(length_of_time(seconds)) == korean
