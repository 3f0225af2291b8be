"""This device's vitals: shown at once, passed on when they change, with the run and the speed of the moment."""

import asyncio
from pathlib import Path

import pytest

from cellmind_agent.device import vitals_monitor
from cellmind_agent.device.power import read_sensors
from cellmind_agent.device.speed import MeasuredSpeeds
from cellmind_agent.device.vitals_monitor import VitalsMonitor
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.messages import Figure


def test_a_watcher_gets_the_vitals_at_once_and_then_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals_monitor, "VITALS_SECONDS", 0.02)
    monkeypatch.setattr(vitals_monitor, "RUN_VITALS_SECONDS", 0.02)
    run: RunId | None = None

    async def play() -> None:
        nonlocal run
        monitor = VitalsMonitor(tmp_path, "laptop", MeasuredSpeeds(tmp_path), read_sensors, lambda: run)
        serving = asyncio.create_task(monitor.serve())
        watching = monitor.watch()
        async with asyncio.timeout(30):
            first = await anext(watching)
            assert (first.name, first.run) == ("laptop", None)
            assert first.ram_total_bytes
            run = RunId("run-1")
            assert monitor.current().run == run
            while (await anext(watching)).run != run:
                pass
        serving.cancel()
        await asyncio.wait({serving})
        await watching.aclose()

    asyncio.run(play())


def test_measured_speeds_survive_a_restart(tmp_path: Path) -> None:
    assert MeasuredSpeeds(tmp_path).tokens_per_second is None
    speeds = MeasuredSpeeds(tmp_path)
    speeds.record_run("one", 1234.5)
    speeds.record("other", 99.0)  # a probe is no run
    again = MeasuredSpeeds(tmp_path)
    assert speeds.tokens_per_second == again.tokens_per_second == Figure(value=1234.5, source="run")
    assert (again.of("one"), again.of("other"), again.of("third")) == (1234.5, 99.0, None)


def test_an_old_speed_is_not_believed(tmp_path: Path) -> None:
    now = 1000.0
    speeds = MeasuredSpeeds(tmp_path, lambda: now)
    speeds.record("one", 5.0)
    assert MeasuredSpeeds(tmp_path, lambda: now + 3600).of("one") == 5.0
    assert MeasuredSpeeds(tmp_path, lambda: now + 2 * 86_400).of("one") is None
    assert MeasuredSpeeds(tmp_path, lambda: now - 2 * 86_400).of("one") is None  # the clock was put back


def test_only_the_newest_speeds_are_kept(tmp_path: Path) -> None:
    speeds = MeasuredSpeeds(tmp_path)
    for number in range(100):
        speeds.record(str(number), 1.0 + number)
    again = MeasuredSpeeds(tmp_path)
    assert (again.of("99"), again.of("0")) == (100.0, None)


@pytest.mark.parametrize(
    "text",
    [
        '{"value": "torn',
        "[]",
        '{"by_work": 3}',
        '{"value": -1, "by_work": [["one", "fast", 1], ["two", 1e999, 1], 3, ["one"], ["one", 1, "now"]]}',
    ],
)
def test_a_damaged_file_of_speeds_is_no_speed(tmp_path: Path, text: str) -> None:
    (tmp_path / "speed.json").write_text(text)
    speeds = MeasuredSpeeds(tmp_path)
    assert speeds.tokens_per_second is None
    assert speeds.of("one") is speeds.of("two") is None


def test_the_end_of_a_run_is_published_before_the_next_reading_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals_monitor, "RUN_VITALS_SECONDS", 1000.0)
    run: RunId | None = RunId("run-1")

    async def play() -> None:
        nonlocal run
        monitor = VitalsMonitor(tmp_path, "laptop", MeasuredSpeeds(tmp_path), read_sensors, lambda: run)
        serving, watching = asyncio.create_task(monitor.serve()), monitor.watch()
        async with asyncio.timeout(30):
            assert (await anext(watching)).run == run
            await asyncio.sleep(0)  # the monitor waits for its next reading
            run = None
            while (await anext(watching)).run is not None:
                pass
        serving.cancel()
        await asyncio.wait({serving})
        await watching.aclose()

    asyncio.run(play())
