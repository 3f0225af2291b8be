"""Real agents whose trainers take little: their priority, their caps, and what people see of it."""

import os
import sys
import time
from typing import Any

import psutil
import pytest

from tests.agents import Cell, Device, wait_for
from tests.integration.test_run import CONFIG, LONG, make_project, start_long_run, trainers
from tests.watcher import start_training

FAKE_BATTERY = """
import psutil
from pathlib import Path
from types import SimpleNamespace
psutil.sensors_battery = lambda: SimpleNamespace(percent=float(Path({path!r}).read_text() or 90), power_plugged=False)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="with one core there is nothing to limit")
def test_a_trainer_runs_after_others_and_its_limit_is_shown(cell: Cell) -> None:
    device = cell.device("laptop", "--no-mdns", "--train-threads", "1")
    watcher, run, _ = start_long_run(device, make_project(cell.folder / "project", LONG))
    try:
        (trainer,) = trainers([device])
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        assert trainer.nice() == max(10, nice)
        assert device.process
        assert psutil.Process(device.process.pid).nice() == nice
        if sys.platform == "linux":
            assert trainer.environ()["MALLOC_TOP_PAD_"] == str(256 << 20)
        wait_for(lambda: device.ctl("peers", "--json").data[0]["training_limit"], 10, "the limit to be shown")
        shown = device.ctl("peers", "--json").data[0]["training_limit"]
        assert shown["why"].startswith("at most 1 of ")
        assert shown["is_paused"] is False
        assert "at most 1 of " in device.log()
    finally:
        device.ctl("stop", run)
        watcher.communicate(timeout=30)
    wait_for(lambda: device.ctl("peers", "--json").data[0]["training_limit"] is None, 10, "the limit to end")


def test_a_trainer_that_takes_too_much_memory_ends_the_run_and_says_so(cell: Cell) -> None:
    device = cell.device("laptop", "--no-mdns", "--train-memory", "64MB")
    failed = device.ctl("train", "--json", "--yes", cwd=make_project(cell.folder / "project", CONFIG))
    assert failed.code != 0
    assert "may take 64 MB here" in failed.error["message"]
    assert "--train-memory" in failed.error["message"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--train-memory", "much"), "'much' is no size"),
        (("--nice", "20"), "--nice 20 is not between 0 (off) and 19"),
        (("--train-threads", "0"), "--train-threads 0 is less than 1"),
    ],
)
def test_an_impossible_option_is_refused(
    cell: Cell, options: tuple[str, str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from cellmind_agent.main import main

    assert main(["--home", str(cell.folder / "home"), "--no-mdns", *options]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.full
@pytest.mark.timeout(180)
def test_a_member_that_must_rest_leaves_the_run_and_comes_back(cell: Cell) -> None:
    battery, patch = cell.folder / "battery", cell.folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(FAKE_BATTERY.format(path=str(battery)))
    battery.write_text("90")
    phone = cell.add(Device("phone", cell.folder / "phone", environment={"PYTHONPATH": str(patch)}))
    laptop, phone = cell.paired([cell.device("laptop"), phone])
    project = make_project(cell.folder / "project", LONG)
    with start_training(laptop, project) as watcher:
        watcher.wait_for_members(2)
        battery.write_text("10")
        lost = watcher.wait_for_kind("member_lost")
        assert (lost["name"], lost["why"]) == ("phone", "phone left the run: it rests (the battery is below 20 %)")
        watcher.wait_for_members(1)
        assert _limit(laptop, "phone") == {"why": "the battery is below 20 %", "is_paused": True}
        battery.write_text("90")
        watcher.wait_for_members(2, 90, since=time.monotonic())
        assert laptop.ctl("stop", watcher.run).code == 0
        watcher.wait_for_kind("finished")


def _limit(device: Device, name: str) -> Any:
    return next(peer["training_limit"] for peer in device.ctl("peers", "--json").data if peer["name"] == name)
