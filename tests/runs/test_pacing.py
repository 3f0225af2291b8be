"""The pace of a trainer follows what its device can spare; people see the limit as long as there is one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from cellmind_agent.config import Politeness, parse_size
from cellmind_agent.device.power import Power
from cellmind_agent.device.vitals import Load, read_load
from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.messages import Battery, TrainingLimit
from cellmind_agent.runs import pacing as pacing_module
from cellmind_agent.runs import process as process_module
from cellmind_agent.runs.pacing import Pacing
from cellmind_agent.runs.process import ChildProcess, serve_nothing
from tests.runs.child_for_test import Exit, TakePace
from tests.runs.test_process import ROOT

CALM = Load(
    cores=2, usable_cores=2, busy_seconds=None, own_seconds=0.0
)  # fmt: skip
LOW = Battery(percent=5.0, plugged=False, source="test")
NOT_A_PHONE = Power()


class Device:
    """Stands in for the readings of a device: the test says what it reads."""

    def __init__(self) -> None:
        self.load, self.power = CALM, NOT_A_PHONE

    def read(self, trainer: int) -> Load:
        assert psutil.pid_exists(trainer)
        return self.load


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(process_module, "PROGRAMS", {"train": "tests.runs.child_for_test"})
    monkeypatch.setattr(pacing_module, "read_load", made.read)
    monkeypatch.setattr(pacing_module, "PRESSURE_SECONDS", 0.05)
    monkeypatch.setattr(pacing_module, "REST_SECONDS", 60.0)
    return made


def with_trainer(
    device: Device,
    folder: Path,
    settings: Politeness,
    play: Callable[[Pacing, Any], Awaitable[None]],
    members_here: int = 1,
) -> None:
    async def run() -> None:
        pacing = Pacing(settings, lambda: device.power)
        assert pacing.limit(device.power) is None
        child = await pacing.start_trainer(folder, members_here, serve_nothing, lambda event: None)
        try:
            async with asyncio.timeout(60):
                await play(pacing, child)
        finally:
            await child.stop()
            await asyncio.sleep(0.01)
        assert pacing.limit(NOT_A_PHONE) is None

    asyncio.run(run())


async def limited(pacing: Pacing) -> TrainingLimit:
    """The limit, as soon as there is one."""
    for _ in range(2000):
        limit = pacing.limit(NOT_A_PHONE)
        if limit is not None:
            return limit
        await asyncio.sleep(0.01)
    raise AssertionError("no limit")


def test_a_low_battery_pauses_the_trainer_until_the_device_is_plugged_in(device: Device, tmp_path: Path) -> None:
    async def play(pacing: Pacing, child: ChildProcess) -> None:
        device.power = Power(battery=LOW)
        assert await limited(pacing) == TrainingLimit(why="the battery is below 20 %", is_paused=True)
        await asyncio.sleep(0.2)
        step = asyncio.create_task(child.call(TakePace(), 50))  # it would rest for a minute
        done, _ = await asyncio.wait({step}, timeout=5)
        assert not done
        device.power = Power(battery=replace(LOW, plugged=True))
        assert (await step).threads == 2
        assert pacing.limit(device.power) is None

    with_trainer(device, tmp_path, Politeness(), play)


def test_other_programs_take_a_thread(device: Device, tmp_path: Path) -> None:
    async def play(pacing: Pacing, child: ChildProcess) -> None:
        seconds = 0.0
        while (limit := pacing.limit(device.power)) is None:  # others use both cores, and we nothing
            seconds += 1.0
            device.load = replace(CALM, busy_seconds=seconds)
            await asyncio.sleep(0.05)
        assert limit.why == "at most 1 of 2 threads: other programs use the processor"
        while (await child.call(TakePace(), 50)).threads != 1:
            seconds += 1.0
            device.load = replace(CALM, busy_seconds=seconds)

    with_trainer(device, tmp_path, Politeness(), play)


def test_trainers_that_share_a_machine_do_not_limit_each_other(device: Device, tmp_path: Path) -> None:
    """Each has a half of the cores from the start, so it is not reported as limited by the other one."""

    async def play(pacing: Pacing, child: ChildProcess) -> None:
        for reading in range(8):
            device.load = replace(CALM, busy_seconds=0.05 * reading)  # the other one uses its core
            await asyncio.sleep(0.05)
            assert pacing.limit(device.power) is None

    with_trainer(device, tmp_path, Politeness(), play, members_here=2)


def test_the_limit_ends_with_the_trainer(device: Device, tmp_path: Path) -> None:
    async def play(pacing: Pacing, child: ChildProcess) -> None:
        await limited(pacing)
        with pytest.raises(process_module.ChildFailedError):
            await child.call(Exit(), 20)

    with_trainer(device, tmp_path, Politeness(max_threads=1, yields=False), play)


def test_the_load_of_this_machine_can_be_read() -> None:
    before = read_load(psutil.Process().pid)
    sum(range(3_000_000))
    after = read_load(psutil.Process().pid)
    assert 1 <= after.usable_cores <= after.cores
    assert after.own_seconds > before.own_seconds
    assert before.busy_seconds is None or after.busy_seconds is None or after.busy_seconds >= before.busy_seconds
    assert read_load(2**22 + 1).own_seconds > 0  # a trainer that has ended


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 << 30), ("1.5 gb", 3 << 29), ("800MB", 800 << 20), (" 1MB ", 1 << 20)]
)
def test_sizes_are_written_with_their_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["2", "GB", "-1GB", "2TB", "2GBs", ""])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)
