"""An agent that starts resumes an interrupted run, unless somebody else leads it, or it had an end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning.roster import plan, seat
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import BusyError, CellmindError, UnreachableError
from cellmind_agent.protocol.ids import BackendName, DeviceId, RunId
from cellmind_agent.protocol.limits import RESUME_FIRST_SECONDS, RESUME_RETRY_SECONDS, RESUME_TRIES
from cellmind_agent.runs.resuming import Resuming
from cellmind_agent.storage.journal import Journal
from model.line.sentence import Sentence
from tests.planning.peers import VITALS, peer
from tests.planning.test_resuming import LAST, MODEL, RUN, SPEC, VIEW

NEWER = replace(MODEL, step=2)


@dataclass
class Other:
    """Another device of the cell: what it knows and holds, and whether gloo works there."""

    view: m.PeerView
    runs: tuple[m.RunView, ...] = ()
    spec: m.RunSpec = SPEC
    models: tuple[m.ModelView, ...] = ()
    fault: Sentence | None = None
    started: list[m.StartRun] = field(default_factory=list)
    refusals: list[CellmindError] = field(default_factory=list)
    is_reachable: bool = True

    async def request(self, request: object, seconds: float = 0.0) -> object:
        match request:
            case _ if not self.is_reachable:
                raise UnreachableError("gone")
            case m.ListRuns():
                return m.RunList(runs=self.runs)
            case m.GetRun():
                return m.RunFound(spec=self.spec, view=self.runs[0])
            case m.ListModels():
                return m.ModelList(models=self.models)
            case m.ProbeGloo():
                return m.GlooProbed(fault=self.fault)
            case m.StartRun() if self.refusals:
                raise self.refusals.pop(0)
            case m.StartRun():
                self.started.append(request)
                return m.Done()
        raise AssertionError(request)


class Cell:
    """This device `me`, and others. Time passes in `slept` only; `changes` happen then, by the number of the pause."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch, *others: Other) -> None:
        self.me = peer("me", host="host of me")
        self.me = replace(self.me, is_self=True)
        self.others = list(others)
        self.journal = Journal(home)
        self.started: list[m.StartRun] = []
        self.slept: list[float] = []
        self.changes: dict[int, Callable[[], None]] = {}
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.changes.pop(len(self.slept), lambda: None)()

    def online(self) -> list[DeviceId]:
        return [other.view.id for other in self.others]

    def link(self, device: DeviceId) -> Other:
        return next(other for other in self.others if other.view.id == device)

    def views(self) -> list[m.PeerView]:
        return [self.me, *(other.view for other in self.others)]

    async def gloo_fault(self) -> Sentence | None:
        return None

    def resume(self) -> None:
        resuming = Resuming(
            self.me.id, cast(Peers, self), self.journal, self.views, self.started.append, self.gloo_fault
        )
        asyncio.run(resuming.serve())


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """This device alone, whose agent was killed in the middle of a run."""
    cell = Cell(tmp_path, monkeypatch)
    cell.journal.save_run(SPEC, VIEW)
    cell.journal.save_model(MODEL)
    return cell


def stronger(name: str, **changes: object) -> m.PeerView:
    """A device that is elected before this one."""
    return peer(name, tokens_per_second=m.Figure(value=900.0, source="test"), **changes)


def test_a_device_alone_leads_the_run_on_from_its_checkpoint(cell: Cell) -> None:
    cell.resume()
    made = plan(seat([cell.me]), 3, (BackendName("gloo"), Sentence("x")), ("ddp", Sentence("x")))
    backend, newest_term = cell.started[0].backend, VIEW.term
    assert cell.started == [
        m.StartRun(spec=SPEC, roster=made.roster, backend=backend, start=MODEL, newest_term=newest_term)
    ]
    assert cell.slept == [RESUME_FIRST_SECONDS]


def test_the_first_of_all_devices_leads_from_the_newest_checkpoint(cell: Cell) -> None:
    first = Other(stronger("first"), models=(NEWER,))
    asleep = Other(replace(peer("asleep"), state="asleep"), is_reachable=False)
    cell.others = [first, asleep]
    cell.resume()
    assert cell.started == []
    (request,) = first.started
    assert [member.name for member in request.roster] == ["first", "me"]
    assert (request.start, request.backend, request.spec) == (NEWER, "gloo", SPEC)


def test_gloo_is_not_chosen_where_it_does_not_work(cell: Cell) -> None:
    cell.others = [Other(stronger("first"), fault=Sentence("broken"))]
    cell.resume()
    assert cell.others[0].started[0].backend == "portable"


def test_only_the_devices_that_the_run_allows_are_seated(cell: Cell) -> None:
    cell.others = [Other(stronger("first"))]
    spec = replace(SPEC, devices=(cell.me.id,))
    cell.journal.save_run(spec, VIEW)
    cell.resume()
    assert [member.name for member in cell.started[0].roster] == ["me"]


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_a_run_that_others_saw_end_is_left_alone(cell: Cell, state: m.RunState) -> None:
    cell.others = [Other(peer("other"), runs=(replace(VIEW, state=state),))]
    cell.resume()
    assert cell.started == cell.others[0].started == []
    assert cell.slept == [RESUME_FIRST_SECONDS]


@pytest.mark.parametrize("state", ["finished", "stopped"])
def test_a_run_with_an_end_is_not_even_looked_for(cell: Cell, state: m.RunState) -> None:
    cell.journal.save_run(SPEC, replace(VIEW, state=state))
    cell.resume()
    assert (cell.started, cell.slept) == ([], [])


def test_a_run_that_others_still_train_admits_this_device_by_itself(cell: Cell) -> None:
    cell.others = [Other(peer("other"), runs=(VIEW,))]

    def admit() -> None:
        cell.me = replace(cell.me, vitals=replace(VITALS, run=RUN))

    cell.changes[3] = admit
    cell.resume()
    assert cell.started == []
    assert cell.slept == [RESUME_FIRST_SECONDS, RESUME_RETRY_SECONDS, RESUME_RETRY_SECONDS]


def test_a_busy_answer_is_another_device_that_does_the_same(cell: Cell) -> None:
    first = Other(stronger("first"), refusals=[BusyError("it is running here already")])
    cell.others = [first]

    def admit() -> None:
        first.runs = (VIEW,)
        cell.me = replace(cell.me, vitals=replace(VITALS, run=RUN))

    cell.changes[2] = admit
    cell.resume()
    assert cell.started == first.started == []


def test_a_device_that_has_not_reported_its_vitals_is_waited_for_once(cell: Cell) -> None:
    other = Other(replace(peer("first"), vitals=None))
    cell.others = [other]

    def report() -> None:
        other.view = stronger("first")

    cell.changes[2] = report
    cell.resume()
    assert [member.name for member in other.started[0].roster] == ["first", "me"]
    assert cell.slept == [RESUME_FIRST_SECONDS, RESUME_RETRY_SECONDS]


def test_a_device_that_does_not_answer_holds_nobody_up(cell: Cell) -> None:
    cell.others = [Other(peer("other"), is_reachable=False)]
    cell.resume()
    assert cell.started[0].roster[0].name == "me"


def test_without_a_checkpoint_it_waits_for_a_device_that_holds_one_and_gives_up(cell: Cell) -> None:
    cell.journal.remove_model(RUN)
    cell.resume()
    assert cell.started == []
    assert len(cell.slept) == RESUME_TRIES + 1


def test_a_device_that_comes_later_brings_the_checkpoint(cell: Cell) -> None:
    cell.journal.remove_model(RUN)
    cell.changes[4] = lambda: cell.others.append(Other(stronger("first"), models=(NEWER,)))
    cell.resume()
    assert cell.others[0].started[0].start == NEWER


def test_a_run_that_has_done_all_its_steps_is_left_alone(cell: Cell) -> None:
    cell.journal.save_model(replace(MODEL, step=3))
    cell.resume()
    assert (cell.started, cell.slept) == ([], [RESUME_FIRST_SECONDS])


def test_a_run_that_a_person_starts_meanwhile_comes_first(cell: Cell) -> None:
    cell.journal.remove_model(RUN)
    newer = replace(SPEC, run=RunId("run-2"))
    cell.changes[2] = lambda: cell.journal.save_run(newer, replace(VIEW, run=newer.run, created=2.0))
    cell.resume()
    assert cell.started == []
    assert len(cell.slept) == 2


def test_a_device_of_the_last_round_that_starts_a_little_later_brings_a_newer_checkpoint(cell: Cell) -> None:
    cell.journal.save_run(SPEC, VIEW, LAST)
    other = Other(replace(peer("other"), state="asleep"), is_reachable=False)
    cell.others = [other]

    def start() -> None:
        other.view, other.is_reachable, other.models = peer("other"), True, (NEWER,)

    cell.changes[2] = start
    cell.resume()
    assert cell.started[0].start == NEWER
    assert cell.slept == [RESUME_FIRST_SECONDS, RESUME_RETRY_SECONDS]


def test_a_device_of_the_last_round_that_stays_away_is_waited_for_once(cell: Cell) -> None:
    cell.journal.save_run(SPEC, VIEW, LAST)
    cell.others = [Other(replace(peer("other"), state="asleep"), is_reachable=False)]
    cell.resume()
    assert [member.name for member in cell.started[0].roster] == ["me"]
    assert cell.slept == [RESUME_FIRST_SECONDS, RESUME_RETRY_SECONDS]


def test_the_devices_that_a_later_resume_has_chosen_are_seated(cell: Cell) -> None:
    first = Other(stronger("first"), runs=(replace(VIEW, state="failed", term=3),))
    first.spec = replace(SPEC, devices=(first.view.id,))
    cell.others = [first]
    cell.resume()
    (request,) = first.started
    assert ([member.name for member in request.roster], request.spec) == (["first"], first.spec)
    assert cell.started == []
