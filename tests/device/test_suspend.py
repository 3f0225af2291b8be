"""An announced sleep: the others hear of it before the machine may sleep. Nothing waits where nobody announces one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cellmind_agent.device import suspend
from cellmind_agent.device.suspend import watch_for_suspend
from tests.logind import Logind, needs_bus

Play = Callable[[list[str], asyncio.Event], Awaitable[None]]


def while_watched(play: Play) -> list[str]:
    """What the watcher called, in order. `play` gets the list, and an event that the announced work waits for."""
    called: list[str] = []

    async def run() -> None:
        may_end = asyncio.Event()

        async def suspends() -> None:
            called.append("suspends")
            await may_end.wait()
            called.append("ready to sleep")

        watching = asyncio.create_task(watch_for_suspend(suspends, lambda: called.append("resumes")))
        try:
            async with asyncio.timeout(20):
                await play(called, may_end)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(run())
    return called


async def until(is_true: Callable[[], bool]) -> None:
    while not is_true():  # noqa: ASYNC110 # what it waits for is set by other threads and processes
        await asyncio.sleep(0.01)


@needs_bus
def test_the_machine_sleeps_only_after_the_others_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Logind(tmp_path) as logind:
        for name, value in logind.environment.items():
            monkeypatch.setenv(name, value)

        async def play(called: list[str], may_end: asyncio.Event) -> None:
            for turn in range(2):
                await until(lambda turn=turn: len(logind.calls) == turn + 2 and logind.is_delayed)  # type: ignore[misc]
                logind.announce(True)
                await until(lambda turn=turn: called.count("suspends") == turn + 1)  # type: ignore[misc]
                assert logind.is_delayed
                may_end.set()
                await until(lambda: not logind.is_delayed)
                assert called[-1] == "ready to sleep"
                may_end.clear()
                logind.announce(False)
                await until(lambda turn=turn: called.count("resumes") == turn + 1)  # type: ignore[misc]

        assert while_watched(play) == ["suspends", "ready to sleep", "resumes"] * 2
    assert set(logind.calls) == {("sleep", "CellMind", "to let the other devices know", "delay")}


@needs_bus
def test_a_machine_that_does_not_sleep_after_all_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspend, "SUSPEND_SECONDS", 0.2)
    with Logind(tmp_path) as logind:
        for name, value in logind.environment.items():
            monkeypatch.setenv(name, value)

        async def play(called: list[str], may_end: asyncio.Event) -> None:
            may_end.set()
            await until(lambda: len(logind.calls) == 2 and logind.is_delayed)
            logind.announce(True)
            await until(lambda: "resumes" in called)
            await until(lambda: logind.is_delayed)

        assert while_watched(play) == ["suspends", "ready to sleep", "resumes"]


@needs_bus
def test_the_end_of_the_bus_is_no_error_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(logind: Logind) -> None:
        async def suspends() -> None:
            raise AssertionError("nothing sleeps")

        watching = asyncio.create_task(watch_for_suspend(suspends, lambda: None))
        await until(lambda: len(logind.calls) == 2)
        logind.end()
        async with asyncio.timeout(5):
            await watching

    with Logind(tmp_path) as logind:
        for name, value in logind.environment.items():
            monkeypatch.setenv(name, value)
        asyncio.run(run(logind))


def watch_to_its_end() -> None:
    """Without an announcement, within seconds."""

    async def run() -> None:
        async def suspends() -> None:
            raise AssertionError("nothing sleeps")

        async with asyncio.timeout(10):
            await watch_for_suspend(suspends, lambda: None)

    asyncio.run(run())


@pytest.mark.parametrize("address", ["unix:path=/nothing/here", "nonsense", ""])
def test_without_a_bus_it_ends_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    watch_to_its_end()


@needs_bus
def test_a_bus_without_logind_ends_it_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Logind(tmp_path, has_service=False) as logind:
        for name, value in logind.environment.items():
            monkeypatch.setenv(name, value)
        watch_to_its_end()
