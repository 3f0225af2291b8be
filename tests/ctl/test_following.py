"""Following and stopping a run whose leader changes or vanishes, in a cell of fake agents."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast, get_args

import pytest

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    CellmindError,
    LinkLostError,
    MemberLostError,
    SupersededError,
    UnknownNameError,
    UnreachableError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_ctl import watching
from cellmind_ctl.client import Client
from cellmind_ctl.discover import list_runs
from cellmind_ctl.following import SEARCH_SECONDS, FollowedRun
from cellmind_ctl.session import Session
from model.line.sentence import Sentence
from tests.ctl.screens import run
from tests.planning.peers import peer

ONE, TWO, THREE = DeviceId("a" * 52), DeviceId("b" * 52), DeviceId("c" * 52)
RUN = RunId("run-1")
TRAINING = replace(run(RUN, "training", 4, 4.0), leader=ONE, total_steps=21, term=1)
FINISHED = m.RunFinished(run=RUN, step=21, tokens=9, seconds=5.0, stopped=False)
CHANGED = m.LeaderChanged(run=RUN, name="two", leader=TWO, term=2, why=Sentence("went away"))
GONE = LinkLostError("the link was lost")
NOT_HERE = UnknownNameError("this device does not lead run-1 now")


def started(step: int) -> m.RoundStarted:
    return m.RoundStarted(run=RUN, round=step, step=step, num_steps=1, total_steps=21)


def progressed(step: int) -> m.Progressed:
    return m.Progressed(
        run=RUN, round=step, step=step, total_steps=21, tokens=0, loss=1.0, tokens_per_second=1.0, members=(),
        wire_bytes=0,
    )  # fmt: skip


@dataclass
class Agent:
    """What one device answers. Each stream is one of `streams`, and ends with the error in it; the last is repeated."""

    view: m.RunView | None = None
    streams: list[list[m.RunEvent | CellmindError]] = field(default_factory=lambda: [[NOT_HERE]])
    stop: CellmindError | None = NOT_HERE


class Cell:
    """Stands in for the client. `changes` happen one by one, whenever the time passes."""

    def __init__(self, **agents: Agent) -> None:
        self.agents = {DeviceId(name * 52): agent for name, agent in agents.items()}
        self.timeout, self.now, self.is_agent_alive = 5.0, 0.0, True
        self.changes: list[tuple[float, DeviceId, Agent]] = []
        self.stopped: list[DeviceId] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at, device, agent in self.changes:
            if self.now >= at:
                self.agents[device] = agent

    def check_agent(self) -> None:
        if not self.is_agent_alive:
            raise LinkLostError("the agent went away")

    def request(self, message: object, device: DeviceId | None = None, seconds: float = 0.0) -> object:
        match message:
            case m.ListPeers():
                peers = (replace(peer(each[0]), id=each, is_self=each == ONE) for each in self.agents)
                return m.PeerList(peers=tuple(peers))
            case m.StopRun():
                assert device
                error = self.agents[device].stop if device in self.agents else UnreachableError("gone")
                if error:
                    raise error
                self.stopped.append(device)
                return m.Done()
        raise AssertionError(message)

    def request_all(self, message_by_device: dict[DeviceId, object], seconds: float) -> dict[DeviceId, object]:
        answers: dict[DeviceId, object] = {}
        for device, message in message_by_device.items():
            view = self.agents[device].view
            if isinstance(message, m.ListRuns):
                answers[device] = m.RunList(runs=(view,) if view else ())
            else:
                period = m.Period(term=1, first_step=0, step=20, members=(), seconds=12.0)
                story = m.RunStory(
                    run=RUN,
                    seconds=12.0,
                    contributions=(),
                    checkpoints=(),
                    best_step=14,
                    best_val_loss=3.0,
                    periods=(period,),
                )
                answers[device] = story if device == TWO else NOT_HERE
        return answers

    def stream(self, message: object, device: DeviceId) -> Iterator[m.RunEvent]:
        if device not in self.agents:
            raise UnreachableError("gone")
        streams = self.agents[device].streams
        for event in streams.pop(0) if len(streams) > 1 else streams[0]:
            if isinstance(event, CellmindError):
                raise event
            yield event


def follow(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> FollowedRun:
    monkeypatch.setattr(time, "sleep", cell.sleep)
    monkeypatch.setattr(time, "monotonic", lambda: cell.now)
    return FollowedRun(cast(Client, cell), RUN, ONE)


def test_a_new_leader_is_followed_and_its_history_is_all_new(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(a=Agent(TRAINING, [[started(0), GONE], [NOT_HERE]]), b=Agent(TRAINING))
    history: list[m.RunEvent | CellmindError] = [CHANGED, started(0), started(1), FINISHED]
    cell.changes = [(6.0, TWO, Agent(replace(TRAINING, leader=TWO, term=2, step=3), [history]))]
    followed = follow(cell, monkeypatch)
    assert list(followed.events()) == [started(0), *history]
    assert followed.leader == TWO


def test_a_leader_that_was_superseded_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    after = Agent(replace(TRAINING, leader=TWO, term=2), [[CHANGED, FINISHED]])
    cell = Cell(a=Agent(TRAINING, [[started(0), SupersededError("another leads")]]), b=after)
    assert list(follow(cell, monkeypatch).events()) == [started(0), CHANGED, FINISHED]


def test_a_lost_link_to_the_same_leader_shows_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[m.RunEvent | CellmindError] = [started(0), progressed(1), progressed(2), started(0), started(1), GONE]
    again: list[m.RunEvent | CellmindError] = [started(0), progressed(2), started(0), started(1), progressed(2)]
    cell = Cell(b=Agent(), a=Agent(TRAINING, [first, [*again, started(1), FINISHED]]))
    shown = list(follow(cell, monkeypatch).events())
    assert shown == [*first[:-1], progressed(2), started(1), FINISHED]


def test_the_same_events_after_a_stop_are_not_shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(a=Agent(TRAINING, [[started(0), started(1)], [started(0), started(1), FINISHED]], stop=None))
    followed = follow(cell, monkeypatch)
    events = followed.events()
    assert next(events) == started(0)  # then a person presses Ctrl-C twice
    followed.stop()
    assert list(followed.events()) == [started(1), FINISHED]
    assert cell.stopped == [ONE]


def test_when_nobody_leads_any_more_the_run_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(b=Agent(TRAINING), a=Agent(TRAINING, [[started(0), GONE], [UnreachableError("later")]]))
    events = follow(cell, monkeypatch).events()
    assert next(events) == started(0)
    with pytest.raises(MemberLostError) as caught:
        next(events)
    assert caught.value.message == f"{RUN} failed: its leader went away (the link was lost)"
    assert caught.value.hint == f"cellmindctl resume {RUN} continues from the last checkpoint"
    assert SEARCH_SECONDS <= cell.now < SEARCH_SECONDS + 1


def test_the_end_of_our_own_agent_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(a=Agent(TRAINING, [[started(0), LinkLostError("the agent went away")]]))
    events = follow(cell, monkeypatch).events()
    assert next(events) == started(0)
    cell.is_agent_alive = False
    with pytest.raises(MemberLostError, match="the agent went away"):
        next(events)
    assert cell.now == 0.0


@pytest.mark.parametrize(("state", "step"), [("finished", 21), ("stopped", 20), ("finished", 20)])
def test_an_end_that_the_leader_did_not_live_to_report_is_known_to_its_members(
    state: m.RunState, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = replace(TRAINING, state=state, step=step)
    cell = Cell(b=Agent(ended), a=Agent(None, [[started(19), GONE], [UnreachableError("gone")]]))
    last = list(follow(cell, monkeypatch).events())[-1]
    assert isinstance(last, m.RunFinished)
    assert (last.step, last.stopped, last.early) == (step, state == "stopped", state == "finished" and step < 21)
    assert (last.seconds, last.best_step) == (12.0, 14)


def test_an_older_end_of_a_resumed_run_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    older = Agent(replace(TRAINING, state="stopped", step=10))
    cell = Cell(b=older, a=Agent(None, [[started(19), GONE], [UnreachableError("gone")]]))
    with pytest.raises(MemberLostError):
        list(follow(cell, monkeypatch).events())


def test_a_run_that_failed_before_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(a=Agent(replace(TRAINING, state="failed")))
    with pytest.raises(UnknownNameError, match="does not lead"):
        list(follow(cell, monkeypatch).events())
    assert cell.now == 0.0


def test_a_stop_reaches_the_leader_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(a=Agent(TRAINING, stop=SupersededError("another leads")), b=Agent(TRAINING))
    cell.changes = [(3.0, TWO, Agent(replace(TRAINING, leader=TWO, term=2), stop=None))]
    follow(cell, monkeypatch).stop()
    assert cell.stopped == [TWO]


def test_a_run_that_has_ended_cannot_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(a=Agent(replace(TRAINING, state="finished")))
    with pytest.raises(UnknownNameError, match="is not running"):
        follow(cell, monkeypatch).stop()
    assert cell.now == 0.0


def test_of_two_leaders_the_one_with_the_higher_term_counts() -> None:
    later = replace(TRAINING, leader=TWO, term=2, step=3)
    cell = Cell(a=Agent(replace(TRAINING, term=1, step=9)), b=Agent(later), c=Agent(replace(later, step=2)))
    assert list_runs(cast(Client, cell)) == [later]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_person_reads_who_leads_now(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLMIND_LANG", language)
    cell = Cell(a=Agent(TRAINING, [[CHANGED, FINISHED]]))
    assert watching.follow(Session(home=tmp_path, _client=cast(Client, cell)), RUN, ONE) == FINISHED
    sentence = {"en": "two leads now (went away)", "ko": "이제 two 기기가 리더입니다 (끊김)"}
    assert capsys.readouterr().err == f"{sentence[language]}\n"


def test_a_script_reads_every_kind_of_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = Cell(a=Agent(TRAINING, [[started(0), CHANGED, FINISHED]]))
    watching.follow(Session(home=tmp_path, is_json=True, _client=cast(Client, cell)), RUN, ONE)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["round_started", "leader_changed", "finished"]
    assert lines[1] == {
        "event": "leader_changed", "run": RUN, "name": "two", "leader": TWO, "term": 2, "why": "went away",
    }  # fmt: skip
    assert set(watching.JSON_NAMES) == set(get_args(m.RunEvent))


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_detaches_and_stops_also_while_no_device_leads(
    presses: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell(a=Agent(TRAINING, [[started(0), GONE], [NOT_HERE]]), b=Agent(TRAINING))
    cell.changes = [(6.0, TWO, Agent(replace(TRAINING, leader=TWO, term=2), [[FINISHED]], stop=None))]
    follow(cell, monkeypatch)
    pressed = 0

    def sleep(seconds: float) -> None:
        nonlocal pressed
        pressed += 1
        if pressed <= presses:
            raise KeyboardInterrupt
        cell.sleep(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setenv("CELLMIND_LANG", "en")
    ended = watching.follow(Session(home=tmp_path, _client=cast(Client, cell)), RUN, ONE)
    assert (ended, cell.stopped) == ((None, []) if presses == 1 else (FINISHED, [TWO]))
    assert f"watch it again with: cellmindctl watch {RUN}" in capsys.readouterr().err
