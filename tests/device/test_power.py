"""A phone's battery, as Termux:API reports it: read beside the agent, and never waited for."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.device import power as power_module
from cellmind_agent.device.power import Power, PowerReader, parse_termux, read_sensors
from cellmind_agent.protocol.messages import Battery
from tests.agents import wait_for

CHARGING = {
    "health": "GOOD",
    "percentage": 96,
    "plugged": "PLUGGED_AC",
    "status": "CHARGING",
    "temperature": 24.600000381469727,
    "current": -252,
}


def parsed(**changed: object) -> Battery:
    return parse_termux(json.dumps({**CHARGING, **changed}).encode())


def test_a_charging_phone() -> None:
    assert parsed() == Battery(percent=96.0, plugged=True, source="termux", temperature_celsius=24.600000381469727)


@pytest.mark.parametrize(
    ("plugged", "status", "charges"),
    [
        ("PLUGGED_USB", "CHARGING", True),
        ("PLUGGED_WIRELESS", "FULL", True),
        ("PLUGGED_AC", "NOT_CHARGING", True),  # full, or the phone protects its battery
        ("PLUGGED_USB", "DISCHARGING", False),  # the charger is too weak
        ("UNPLUGGED", "DISCHARGING", False),
        ("UNPLUGGED", "NOT_CHARGING", False),
    ],
)
def test_who_charges(plugged: str, status: str, charges: bool) -> None:
    assert parsed(plugged=plugged, status=status).plugged is charges


def test_a_phone_without_that_sensor_has_no_temperature() -> None:
    assert parsed(temperature=0.0).temperature_celsius is None


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{}", b'{"percentage": "96"}', b'{"percentage": NaN}', b"\xff"])
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 of json as well as ours
        parse_termux(text)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(CHARGING)), st.none() | st.booleans() | st.floats() | st.text()))
def test_whatever_it_prints_is_a_battery_or_refused(changed: dict[str, object]) -> None:
    try:
        found = parsed(**changed)
    except ValueError:
        return
    assert 0 <= found.percent <= 100


def command(folder: Path, script: str) -> str:
    """A program that stands in for `termux-battery-status`."""
    path = folder / "battery"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def read_until(reader: PowerReader, is_done: Callable[[Power], object], seconds: float = 20.0) -> Power:
    """The first reading for which `is_done`, from a reader that is stopped then."""

    async def play() -> Power:
        serving = asyncio.create_task(reader.serve())
        deadline = time.monotonic() + seconds
        try:
            while not is_done(reader.current()) and time.monotonic() < deadline:  # noqa: ASYNC110 files change too
                await asyncio.sleep(0.01)
            assert is_done(reader.current())
        finally:
            serving.cancel()
            await asyncio.wait({serving})
        return reader.current()

    return asyncio.run(play())


def test_a_phone_is_hidden_until_its_first_reading(tmp_path: Path) -> None:
    reader = PowerReader("android", [command(tmp_path, f"echo '{json.dumps(CHARGING)}'")])
    assert reader.current() == Power(is_battery_hidden=True)
    assert read_until(reader, lambda power: power.battery) == Power(battery=parsed())


class Endless:
    """A command that never ends, and starts a child that does not either."""

    def __init__(self, folder: Path) -> None:
        self._note = folder / "child"
        self.path = command(folder, f"sleep 600 & echo $! > {self._note}; wait")

    def has_child(self) -> bool:
        return self._note.exists() and self._note.read_text().endswith("\n")

    def child_lives(self) -> bool:
        try:
            return psutil.Process(int(self._note.read_text())).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def test_a_command_that_never_ends_is_killed_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_module, "POWER_QUERY_SECONDS", 0.5)
    endless = Endless(tmp_path)
    reader = PowerReader("android", [endless.path])
    read_until(reader, lambda power: endless.has_child() and not endless.child_lives())
    assert reader.current().is_battery_hidden


def test_a_stopped_agent_leaves_no_command_behind(tmp_path: Path) -> None:
    endless = Endless(tmp_path)
    read_until(PowerReader("android", [endless.path]), lambda power: endless.has_child())
    wait_for(lambda: not endless.child_lives(), 10, "the child to end")


def test_a_reading_that_stops_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power_module, "POWER_SECONDS", 0.05)
    reader = PowerReader("android", [command(tmp_path, f"echo '{json.dumps(CHARGING)}'")])
    assert read_until(reader, lambda power: power.battery)
    command(tmp_path, "exit 1")
    assert read_until(reader, lambda power: power.is_battery_hidden) == Power(is_battery_hidden=True)


def test_a_phone_without_the_command_is_hidden() -> None:
    async def play() -> None:
        reader = PowerReader("android", ["no-such-command-here"])
        serving = asyncio.create_task(reader.serve())
        await asyncio.sleep(0.05)
        assert reader.current() == Power(is_battery_hidden=True)
        serving.cancel()
        await asyncio.wait({serving})

    asyncio.run(play())


def test_other_devices_are_read_by_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = PowerReader("linux", ["false"])
    assert not reader.current().is_battery_hidden
    asyncio.run(asyncio.wait_for(reader.serve(), 5))  # it has nothing to do

    def denied() -> Any:
        raise PermissionError("as on Android")

    monkeypatch.setattr(psutil, "sensors_battery", denied, raising=False)
    monkeypatch.setattr(psutil, "sensors_temperatures", denied, raising=False)
    assert read_sensors() == Power()
