"""Children: calls both ways, an end in every case, never an orphan."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cellmind_agent.protocol.errors import CellmindError, JobFailedError, TimedOutError
from cellmind_agent.runs import process as process_module
from cellmind_agent.runs.process import ChildFailedError, ChildProcess, start_child
from model.line.declare import Call, Event
from model.line.pace import PaceChanged
from tests.runs.child_for_test import (
    AnswerWrongly,
    AskBack,
    Echo,
    Echoed,
    Exit,
    Freeze,
    RefusalOf,
    Refuse,
    RefuseAndExit,
    TakePace,
    WordHeard,
    WriteNonsense,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(process_module, "PROGRAMS", {"test": "tests.runs.child_for_test"})


def with_child(folder: Path, play: Callable[[ChildProcess, list[Event]], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        events: list[Event] = []

        async def serve(call: Call[Any]) -> object:
            if isinstance(call, Echo) and call.word not in ("refuse", "wait", "bug"):
                return Echoed(word=f"agent: {call.word}")
            if isinstance(call, Echo) and call.word == "wait":
                raise TimedOutError("nobody set the key")
            if isinstance(call, Echo) and call.word == "bug":
                raise KeyError("a bug")
            raise CellmindError("not that")

        child = await start_child("test", folder, serve, events.append, **options)
        try:
            await play(child, events)
        finally:
            await child.stop()
            assert not psutil.pid_exists(child.pid)

    asyncio.run(run())


def test_calls_events_and_stray_prints_do_not_mix(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        assert await child.call(Echo(word="안녕"), 20) == Echoed(word="안녕")
        assert events == [WordHeard(word="안녕")]

    with_child(tmp_path, play)


def test_a_child_may_call_while_it_serves_a_call(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        assert await child.call(AskBack(word="1"), 20) == Echoed(word="agent: 1")

    with_child(tmp_path, play)


def test_a_refusal_by_the_agent_reaches_the_child(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(ChildFailedError, match=r"ended with code 1: .*not that"):
            await child.call(AskBack(word="refuse"), 20)

    with_child(tmp_path, play)


@pytest.mark.parametrize(("word", "code"), [("wait", "peer_lost"), ("bug", "failed"), ("refuse", "failed")])
def test_a_refusal_by_the_agent_has_the_code_of_its_cause(word: str, code: str, program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        assert (await child.call(RefusalOf(word=word), 20)).word == code

    with_child(tmp_path, play)


def test_a_refusal_has_a_code_and_the_child_goes_on(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(ChildFailedError, match="no such thing") as refused:
            await child.call(Refuse(), 20)
        assert refused.value.failure.code == "bad_data"
        await child.call(Echo(word="still here"), 20)

    with_child(tmp_path, play)


def test_the_end_keeps_the_code_of_the_refusal_before_it(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(ChildFailedError):
            await child.call(RefuseAndExit(), 20)
        assert (await child.ended()).code == "peer_lost"

    with_child(tmp_path, play)


def test_an_exit_fails_the_call_at_once_with_the_last_output(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(ChildFailedError, match="ended with code 3: last output") as failed:
            await child.call(Exit(), 20)
        assert failed.value.failure.code == "failed"
        with pytest.raises(JobFailedError):
            await child.call(Echo(word=""), 20)

    with_child(tmp_path, play)


def test_nonsense_on_the_line_ends_the_child(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(ChildFailedError, match="signal 9"):
            await child.call(WriteNonsense(), 20)

    with_child(tmp_path, play)


def test_an_answer_of_another_type_is_a_failure(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(ChildFailedError, match="answered AnswerWrongly with Echoed"):
            await child.call(AnswerWrongly(), 20)

    with_child(tmp_path, play)


def test_a_child_that_answers_nothing_times_out_and_can_still_be_stopped(
    program: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "STOP_ASK_SECONDS", 0.2)
    monkeypatch.setattr(process_module, "STOP_TERMINATE_SECONDS", 0.2)

    async def play(child: ChildProcess, events: list[Event]) -> None:
        with pytest.raises(TimedOutError):
            await child.call(Freeze(), 2)
        await child.stop()
        assert "signal 9" in child.exit_summary()

    with_child(tmp_path, play)


def test_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    """The parent here is a process of its own that starts a child and is killed."""
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.parent", str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=5)


def test_nonsense_from_the_agent_ends_the_child() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.child_for_test"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    assert child.stdin
    child.stdin.write(b"this is not JSON\n")
    child.stdin.flush()  # it stays open: the child must not wait for its end
    assert child.wait(timeout=20) == 1
    _, errors = child.communicate()
    assert b"not a frame" in errors


def test_an_event_of_the_agent_reaches_the_child(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        assert (await child.call(TakePace(), 60)).threads == 2
        await child.report(PaceChanged(threads=1))
        assert (await child.call(TakePace(), 60)).threads == 1

    with_child(tmp_path, play)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("nice", "policy"), [(10, os.SCHED_BATCH), (0, os.SCHED_OTHER)])
def test_every_thread_of_a_child_has_its_priority(program: None, tmp_path: Path, nice: int, policy: int) -> None:
    wanted = max(nice, os.getpriority(os.PRIO_PROCESS, 0)), policy

    async def play(child: ChildProcess, events: list[Event]) -> None:
        await child.call(TakePace(), 60)  # torch starts its threads
        threads = [int(path.name) for path in Path(f"/proc/{child.pid}/task").iterdir()]
        assert len(threads) >= 3
        assert {(os.getpriority(os.PRIO_PROCESS, t), os.sched_getscheduler(t)) for t in threads} == {wanted}
        group = Path(f"/proc/{child.pid}/autogroup")
        if nice and group.exists():
            assert group.read_text().split()[-2:] == ["nice", str(nice)]

    with_child(tmp_path, play, nice=nice)


def test_a_child_gets_variables_that_its_agent_does_not_have(program: None, tmp_path: Path) -> None:
    async def play(child: ChildProcess, events: list[Event]) -> None:
        assert await child.call(
            Echo(word="안녕"), 20
        )  # while a program is being started, the system shows no variables
        assert psutil.Process(child.pid).environ()["MALLOC_TOP_PAD_"] == "65536"
        assert "MALLOC_TOP_PAD_" not in os.environ

    with_child(tmp_path, play, environment={"MALLOC_TOP_PAD_": "65536"})


def test_only_programs_of_the_allow_list_are_started(tmp_path: Path) -> None:
    async def play() -> None:
        with pytest.raises(KeyError):
            await start_child("os", tmp_path, process_module.serve_nothing, lambda event: None)

    asyncio.run(play())
