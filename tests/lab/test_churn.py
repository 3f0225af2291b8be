"""Devices join, leave, sleep and die in the middle of a run, its leader too, and the run goes on exactly."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cellmind_agent.protocol.limits import AWAY_SECONDS, PATIENCE_FLOOR_SECONDS
from tests.agents import states, wait_for
from tests.audit import Audit, audit_run
from tests.bench.shards import Shape
from tests.bench.small_run import random_texts, small_config, write_text
from tests.integration.test_run import TEXTS
from tests.lab.home import Home, LabDevice
from tests.logind import Logind, needs_bus
from tests.watcher import Event, Watcher, member_names, start_training, watch

pytestmark = pytest.mark.timeout(300)
NAMES = ("one", "two", "three")
SHAPE = Shape(d_model=32, nhead=4, num_layers=2, vocab_size=500, seq_len=32, batch_size=12)
RESUMES = "--resume-on-boot"


def cell(home: Home, *names: str, options: tuple[str, ...] = ()) -> dict[str, LabDevice]:
    """Paired devices by name, as after an earlier run."""
    made = {name: home.device(name, *options, has_probed_gloo=True) for name in names}
    home.cell.paired(list(made.values()))
    return made


def project_of(folder: Path) -> Path:
    """An endless run in rounds of a second."""
    return write_text(folder / "project", TEXTS * 4, small_config(SHAPE, round_seconds=1.0))


def roster_of(device: LabDevice, project: Path) -> list[str]:
    """Who will take part; the first leads."""
    return [
        member["name"] for member in device.ctl("plan", "--json", "--all", "--mode", "ddp", cwd=project).data["roster"]
    ]


def finish(watcher: Watcher, device: LabDevice, devices: Mapping[str, LabDevice], *excused: str) -> Audit:
    """Stop the run, and audit it. The records of the excused, which were down or apart, may lack rounds."""
    stopped = device.ctl("stop", watcher.run)
    assert stopped.code == 0, stopped
    finished = watcher.wait_for_kind("finished")
    homes = {name: one.home for name, one in devices.items()}
    audit = audit_run(homes, watcher.run, finished["step"], SHAPE.batch_size, set(excused))
    assert audit.faults == ()
    return audit


def test_a_member_that_slept_takes_part_again_by_itself(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES)
    project = project_of(tmp_path)
    leader, sleeper, observer = roster_of(devices["one"], project)
    with start_training(devices[observer], project) as watcher:
        watcher.wait_for_members(3)
        devices[sleeper].lid_closes()
        asleep = time.monotonic()
        assert watcher.wait_for_kind("member_lost", 20, asleep)["name"] == sleeper
        assert member_names(watcher.wait_for_members(2, 30, asleep)) == {leader, observer}
        devices[sleeper].lid_opens()
        awake = time.monotonic()
        assert watcher.wait_for_kind("member_joined", 30, awake)["name"] == sleeper
        watcher.wait_for_members(3, 30, awake)
        finish(watcher, devices[observer], devices, sleeper)


def test_a_local_run_goes_on_without_a_member_that_dies_and_takes_it_back(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES)
    project = project_of(tmp_path)
    _, victim, observer = roster_of(devices["one"], project)
    with start_training(devices[observer], project, "--mode", "local") as watcher:
        watcher.wait_for_members(3)
        killed = time.monotonic()
        devices[victim].power_cut()
        assert watcher.wait_for_kind("member_lost", 20, killed)["name"] == victim
        watcher.wait_for_members(2, 30, killed)
        devices[victim].start()
        assert watcher.wait_for_kind("member_joined", 60, time.monotonic())["name"] == victim
        together = watcher.wait_for_members(3, 30, time.monotonic())
        steps = together["step"] - together["first_step"]
        assert sum(member["share"] for member in together["members"]) == steps
        begun = [event["round"] for event in watcher.of_kind("round_started")]
        assert len(set(begun)) == len(begun), "the others have done a round again"
        finish(watcher, devices[observer], devices, victim)


@needs_bus
@pytest.mark.parametrize("leads", [False, True])
def test_nobody_waits_for_a_device_that_announces_its_sleep(home: Home, tmp_path: Path, leads: bool) -> None:
    with Logind(tmp_path) as logind:
        devices = cell(home, *NAMES)
        project = project_of(tmp_path)
        sleeper = roster_of(devices["one"], project)[0 if leads else 1]
        observer = next(device for name, device in devices.items() if name != sleeper)
        devices[sleeper].stop()
        devices[sleeper].environment = logind.environment
        devices[sleeper].start()
        wait_for(lambda: states(observer)[sleeper] == "online" and logind.is_delayed, 20, "the cell")
        with start_training(observer, project) as watcher:
            watcher.wait_for_members(3)
            logind.announce(True)
            announced = time.monotonic()
            wait_for(lambda: not logind.is_delayed, 5, "the device to be ready to sleep")
            devices[sleeper].lid_closes()
            others = watcher.wait_for_members(2, 10, announced)
            assert sleeper not in member_names(others)
            assert others.at - announced < PATIENCE_FLOOR_SECONDS + 1.0  # a round takes 1 s; a silence is noticed later
            time.sleep(AWAY_SECONDS + 1.0)  # a sleep that the device notices
            devices[sleeper].lid_opens()
            logind.announce(False)
            awake = time.monotonic()
            assert watcher.wait_for_kind("member_joined", 30, awake)["name"] == sleeper
            watcher.wait_for_members(3, 30, awake)
            finish(watcher, observer, devices, sleeper)


def test_a_run_begins_without_the_leader_that_died_while_it_received_the_text(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES)
    texts = random_texts(40_000, random.Random(1))  # 6 MB of shards: half a second on the link
    project = write_text(tmp_path / "project", texts, small_config(SHAPE, round_seconds=1.0))
    leader, second, observer = roster_of(devices["one"], project)
    with start_training(devices[observer], project) as watcher:
        partial = devices[leader].home / "blobs" / "partial"
        wait_for(lambda: partial.exists() and any(partial.iterdir()), 60, "the text to be on its way")
        devices[leader].power_cut()
        plans = [[member["name"] for member in event["roster"]] for event in watcher.of_kind("plan")]
        assert plans == [[leader, second, observer]]
        assert member_names(watcher.wait_for_members(2, 60)) == {second, observer}
        devices[leader].start()
        assert watcher.wait_for_kind("member_joined", 60, time.monotonic())["name"] == leader
        finish(watcher, devices[observer], devices, leader)


def test_a_device_that_is_switched_on_in_the_middle_of_a_run_joins_it(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES)
    devices["three"].stop()
    wait_for(lambda: states(devices["one"])["three"] != "online", 20, "three to be off")
    with start_training(devices["one"], project_of(tmp_path)) as watcher:
        watcher.wait_for_members(2)
        devices["three"].start()
        started = time.monotonic()
        assert watcher.wait_for_kind("member_joined", 60, started)["name"] == "three"
        watcher.wait_for_members(3, 30, started)
        finish(watcher, devices["one"], devices)


def test_without_its_leader_a_run_goes_on_under_the_next(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES)
    project = project_of(tmp_path)
    leader, _, observer = roster_of(devices["one"], project)
    with start_training(devices[observer], project) as watcher:
        watcher.wait_for_members(3)
        devices[leader].power_cut()
        killed = time.monotonic()
        changed = watcher.wait_for_kind("leader_changed", 30, killed)
        assert changed.at - killed < 10
        assert changed["name"] in set(NAMES) - {leader}
        committed = watcher.wait_for_members(2, 30, killed)
        assert committed["term"] >= changed["term"]
        assert committed["members"][0]["name"] == changed["name"]
        finish(watcher, devices[observer], devices, leader)


@pytest.mark.full
def test_a_leader_that_slept_follows_the_next_one(home: Home, tmp_path: Path) -> None:
    """What it had not committed with the others is not part of the run."""
    devices = cell(home, *NAMES)
    project = project_of(tmp_path)
    leader, _, observer = roster_of(devices["one"], project)
    with start_training(devices[observer], project) as watcher:
        watcher.wait_for_members(3)
        devices[leader].lid_closes()
        asleep = time.monotonic()
        changed = watcher.wait_for_kind("leader_changed", 30, asleep)
        assert changed["name"] != leader
        watcher.wait_for_members(2, 30, asleep)
        time.sleep(max(0.0, asleep + 15 - time.monotonic()))
        devices[leader].lid_opens()
        awake = time.monotonic()
        together = watcher.wait_for_members(3, 60, awake)
        assert together["members"][0]["name"] == changed["name"]
        audit = finish(watcher, devices[observer], devices, leader)
        assert max(record.term for record in audit.lineage) > changed["term"], "it joined another process group"
        assert len(audit.discarded) <= 1, "it did not train alone before it found the others"


@pytest.mark.full
def test_the_halves_of_a_cell_that_was_cut_in_two_become_one_run_again(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES, "four")
    project = project_of(tmp_path)
    leader, second, third, fourth = roster_of(devices["one"], project)
    with start_training(devices[leader], project) as near:
        near.wait_for_members(4, 90)
        with watch(devices[fourth], near.run) as far:
            far.wait_for_members(4)
            home.network.partition([leader, second], [third, fourth])
            cut = time.monotonic()
            sides = [(watcher, watcher.wait_for_members(2, 60, cut)) for watcher in (near, far)]
            assert [member_names(committed) for _, committed in sides] == [{leader, second}, {third, fourth}]
            for watcher, committed in sides:
                watcher.wait("more rounds", is_beyond(committed["step"]), 60, cut)
            home.network.heal()
            healed = time.monotonic()
            for watcher in (near, far):
                watcher.wait_for_members(4, 120, healed)
            audit = finish(near, devices[leader], devices, *devices)  # a round may have been cut in two
    assert audit.discarded, "one half trained rounds that do not count"
    models = {model["model"] for device in devices.values() for model in device.ctl("models", "--json").data}
    assert near.run in models
    assert len(models) == 2, "the state of the other half is kept as a model of its own"


def is_beyond(step: int) -> Callable[[Event], bool]:
    return lambda event: event.kind == "round_committed" and bool(event["step"] > step)


@pytest.mark.full
def test_after_a_power_cut_of_all_devices_the_run_goes_on_by_itself(home: Home, tmp_path: Path) -> None:
    devices = cell(home, *NAMES, options=(RESUMES,))
    with start_training(devices["one"], project_of(tmp_path)) as watcher:
        run = watcher.wait_for_kind("checkpoint", 60)["run"]
        kept = watcher.wait_for_members(3)["step"]
        for device in devices.values():
            device.power_cut()
    for device in devices.values():
        device.start()
    wait_for(lambda: is_training(devices["two"], run), 120, "the run to go on")
    with watch(devices["two"], run) as watcher:
        again = watcher.wait_for_members(3, 60)
        assert again["first_step"] <= kept
        watcher.wait("new steps", is_beyond(kept))
        finish(watcher, devices["two"], devices, *NAMES)


def is_training(device: LabDevice, run: str) -> bool:
    answer = device.ctl("runs", "--json")
    return answer.code == 0 and any(view["run"] == run and view["state"] == "training" for view in answer.data)
