"""Children: a line both ways, an end in every case, never an orphan."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from cellmind_agent.protocol.errors import JobFailedError, TimedOutError
from cellmind_agent.runs import process as process_module
from cellmind_agent.runs.process import ChildProcess, start_child

PROGRAM = """
import os, signal, sys, time
from model.link import AgentLink

link = AgentLink()
for number, method, params in link.calls():
    if method == "echo":
        print("a library that prints to stdout")
        link.tell("heard", **params)
        link.answer(number, params)
    elif method == "ask":
        link.answer(number, link.ask("question", params, 5))
    elif method == "fail":
        link.refuse(number, "no such thing")
    elif method == "die":
        print("last words", file=sys.stderr, flush=True)
        os._exit(3)
    elif method == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGSTOP)
    elif method == "nonsense":
        os.write(link._out.fileno(), b"this is not JSON\\n")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "child_for_test.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(process_module, "PROGRAMS", {"test": "child_for_test"})
    return tmp_path


def with_child(folder: Path, play: Callable[[ChildProcess, list[Any]], Awaitable[None]]) -> None:
    async def run() -> None:
        heard: list[Any] = []

        async def serve(method: str, params: dict[str, Any]) -> Any:
            return [method, params]

        child = await start_child("test", folder, serve, lambda name, fields: heard.append((name, fields)))
        try:
            await play(child, heard)
        finally:
            await child.stop()
            assert not psutil.pid_exists(child.pid)

    asyncio.run(run())


def test_calls_events_and_stray_prints_do_not_mix(program: Path) -> None:
    async def play(child: ChildProcess, heard: list[Any]) -> None:
        assert await child.call("echo", {"word": "안녕"}, 20) == {"word": "안녕"}
        assert heard == [("heard", {"word": "안녕"})]

    with_child(program, play)


def test_a_child_may_ask_while_it_is_asked(program: Path) -> None:
    async def play(child: ChildProcess, heard: list[Any]) -> None:
        assert await child.call("ask", {"n": 1}, 20) == ["question", {"n": 1}]

    with_child(program, play)


def test_a_refusal_is_an_error_and_the_child_goes_on(program: Path) -> None:
    async def play(child: ChildProcess, heard: list[Any]) -> None:
        with pytest.raises(JobFailedError, match="no such thing"):
            await child.call("fail", {}, 20)
        await child.call("echo", {}, 20)

    with_child(program, play)


def test_a_death_fails_the_call_at_once_with_its_last_words(program: Path) -> None:
    async def play(child: ChildProcess, heard: list[Any]) -> None:
        with pytest.raises(JobFailedError, match="ended with code 3: last words"):
            await child.call("die", {}, 20)
        with pytest.raises(JobFailedError):
            await child.call("echo", {}, 20)

    with_child(program, play)


def test_nonsense_on_the_line_ends_the_child(program: Path) -> None:
    async def play(child: ChildProcess, heard: list[Any]) -> None:
        with pytest.raises(JobFailedError, match="signal 9"):
            await child.call("nonsense", {}, 20)

    with_child(program, play)


def test_a_child_that_answers_nothing_times_out_and_can_still_be_stopped(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "STOP_ASK_SECONDS", 0.2)
    monkeypatch.setattr(process_module, "STOP_TERMINATE_SECONDS", 0.2)

    async def play(child: ChildProcess, heard: list[Any]) -> None:
        with pytest.raises(TimedOutError):
            await child.call("deaf", {}, 2)
        await child.stop()
        assert "signal 9" in child.obituary()

    with_child(program, play)


def test_a_killed_parent_leaves_no_orphan(program: Path) -> None:
    """The parent here is a process of its own that starts a child and is killed."""
    import subprocess
    import sys

    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.runs.parent", str(program)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{program}{os.pathsep}{os.getcwd()}"},
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=5)


def test_only_programs_of_the_allow_list_are_started(tmp_path: Path) -> None:
    async def play() -> None:
        with pytest.raises(KeyError):
            await start_child("os", tmp_path, None, None)  # type: ignore[arg-type]

    asyncio.run(play())
