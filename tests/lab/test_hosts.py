"""Three devices on three hosts: one port each, no plain text on the air, the same loss as one host, faults survived."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.agents import Answer, Device, pair, wait_for
from tests.integration.test_run import CONFIG, LONG, TEXTS, make_project
from tests.lab import network
from tests.lab.capture import read_packets, streams
from tests.lab.home import AGENT_PORT, Home, LabDevice, peers_of

pytestmark = pytest.mark.timeout(300)
NAMES = ("one", "two", "three")


def all_online(device: Device, count: int = 3) -> bool:
    """True when so many members are online. Strangers do not count: a forgotten device may be seen again as one."""
    states = [peer["state"] for peer in peers_of(device).values() if peer["paired"]]
    return states == ["online"] * count


def train(device: Device, project: Path, *words: str) -> list[dict[str, Any]]:
    done: Answer = device.ctl("train", "--json", "--yes", "--all", "--mode", "ddp", *words, cwd=project, timeout=200)
    assert done.code == 0, done
    return done.events


def losses(events: list[dict[str, Any]]) -> tuple[float, float]:
    """The held-out loss before and after training."""
    found = [event["val_loss"] for event in events if event["event"] == "round_committed" and event["val_loss"]]
    return found[0], found[-1]


def project_of(folder: Path) -> Path:
    """A project without dropout, whose masks depend on the rank: so one host and three reach the same loss."""
    return make_project(folder, {**CONFIG, "model": {**CONFIG["model"], "dropout": 0.0}})


def test_three_hosts_train_as_one_and_nothing_on_the_air_is_readable(home: Home, tmp_path: Path) -> None:
    """With gloo, then with portable (gloo fails its probe on one member), then on one host: to the same loss."""
    devices = [home.device(name, environment={"CELLMIND_NO_GLOO": "1"} if name == "three" else {}) for name in NAMES]
    with home.captured(tmp_path / "air.pcap") as file:
        home.cell.paired(list(devices))
        project = project_of(tmp_path / "project")
        pair = train(devices[0], project, "--devices", "one,two")
        mixed = train(devices[0], project_of(tmp_path / "mixed"))
    alone = train(devices[0], project_of(tmp_path / "again"), "--devices", "one")
    plans = [next(event for event in events if event["event"] == "plan") for events in (pair, mixed)]
    assert [plan["backend"] for plan in plans] == ["gloo", "portable"]
    assert plans[1]["backend_reason"] == "gloo does not work on three (switched off by CELLMIND_NO_GLOO)"
    for events in (pair, mixed):
        assert losses(events) == pytest.approx(losses(alone), abs=0.005)
    committed = [event for event in mixed if event["event"] == "round_committed"]
    assert committed[-1]["wire_bytes"] > 1_000_000
    carried = {name: peer["carried_bytes"] for name, peer in peers_of(devices[0]).items()}
    assert carried["one"] == 0
    assert min(carried["two"], carried["three"]) > 100_000
    assert_nothing_is_readable(file, devices)


def assert_nothing_is_readable(file: Path, devices: list[LabDevice]) -> None:
    """Only the agents' port and mDNS were used; and no piece of the known data can be read in the traffic."""
    places = set()
    for packet in read_packets(file):
        if packet.protocol in ("tcp", "udp"):
            places.add((packet.protocol, min(packet.source_port, packet.target_port)))
    assert places == {("tcp", AGENT_PORT), ("udp", 5353)}
    traffic = b"\0".join(streams(read_packets(file)).values())
    assert len(traffic) > 1_000_000
    pieces = []
    for device in devices:
        for blob in device.home.glob("blobs/??/*"):
            data = blob.read_bytes()
            pieces += [data[place : place + 24] for place in range(0, len(data) - 24, max(24, len(data) // 20))]
    pieces = [piece for piece in pieces if len(set(piece)) > 6]  # a run of zeros proves nothing
    assert len(pieces) > 50
    words = [b"PrepareMember", b"loopback/0", b"StoreSet", b"safetensors", *(text.encode()[:24] for text in TEXTS)]
    assert [secret for secret in (*words, *pieces) if secret in traffic] == []


def test_a_device_that_only_dials_out_trains(home: Home, tmp_path: Path) -> None:
    devices = home.paired(*NAMES)
    home.network.block_inbound("three")
    devices[2].stop()
    devices[2].start()
    for device in devices:
        wait_for(lambda device=device: all_online(device), 20, "all to be online")  # type: ignore[misc]
    time.sleep(3)  # a device that was heard a moment ago counts as online
    assert all(all_online(device) for device in devices)
    events = train(devices[0], project_of(tmp_path / "project"), "--backend", "gloo")
    plan = next(event for event in events if event["event"] == "plan")
    assert {member["name"] for member in plan["roster"]} == set(NAMES)
    assert events[-1]["event"] == "finished"
    checks = {check["id"]: check for check in devices[0].ctl("doctor", "--json").data}
    assert "firewall on three" in checks["reach one -> three"]["detail"]
    assert checks["reach three -> one"]["verdict"] == "ok"
    assert "multicast" not in checks


@pytest.mark.parametrize(("air", "mode"), [("35mbit", "local"), (None, "ddp")])
def test_the_mode_follows_from_the_network(tmp_path: Path, air: str | None, mode: str) -> None:
    why_not = network.why_not_here()
    if why_not:
        pytest.skip(why_not)
    large = {**CONFIG, "model": {"d_model": 256, "nhead": 4, "num_layers": 4}}
    with Home(tmp_path / "homes", shared=air) as home:
        devices = home.paired(*NAMES)
        made = devices[0].ctl("plan", "--json", cwd=make_project(tmp_path / "project", large)).data
        rates = devices[0].ctl("plan", cwd=tmp_path / "project").err
    assert made["mode"] == mode
    assert "Mbit/s" in made["mode_reason"]
    assert "Mbit/s" in rates


def test_on_wi_fi_a_device_with_a_cable_averages_for_all(tmp_path: Path) -> None:
    """What two devices on Wi-Fi send to each other crosses the air twice."""
    why_not = network.why_not_here()
    if why_not:
        pytest.skip(why_not)
    large = {**CONFIG, "model": {"d_model": 256, "nhead": 4, "num_layers": 4}}
    with Home(tmp_path / "homes", shared="35mbit", is_relayed=True) as home:
        devices = [home.device(name, is_wired=name == "two", has_probed_gloo=True) for name in NAMES]
        home.cell.paired(list(devices))
        events = train(devices[0], make_project(tmp_path / "project", large), "--mode", "local")
    assert next(event for event in events if event["event"] == "plan")["center"] == "two"
    assert events[-1]["event"] == "finished"
    committed = [event for event in events if event["event"] == "round_committed"]
    assert len({event["state_hash"] for event in committed}) > 1


@pytest.mark.parametrize(
    ("trouble", "limit"), [("lid_closes", 5.0), pytest.param("power_cut", 1.0, marks=pytest.mark.full)]
)
def test_without_a_lost_device_the_others_go_on_with_gloo(
    home: Home, tmp_path: Path, trouble: str, limit: float
) -> None:
    """It is noticed within `limit` seconds, and its round is done again by the others, in the same processes."""
    devices = home.paired(*NAMES)
    make_project(tmp_path / "project", LONG)
    training = devices[0].start_ctl(
        "train", "--json", "--yes", "--all", "--mode", "ddp", "--backend", "gloo", cwd=tmp_path / "project"
    )
    assert training.stdout
    roster: list[str] = []
    for line in training.stdout:
        event = json.loads(line)
        if event["event"] == "plan":
            roster = [member["name"] for member in event["roster"]]
        if event["event"] == "round_committed" and event["step"] > 0:
            break
    victim = next(device for device in devices[1:] if device.name in roster[1:])
    others = [device for device in devices if device is not victim]
    trainers = [child for device in others for child in device.children()]
    assert len(trainers) == 2
    getattr(victim, trouble)()
    started = time.monotonic()
    noticed = None
    for line in training.stdout:
        event = json.loads(line)
        if event["event"] == "member_lost":
            noticed = time.monotonic() - started
        if event["event"] == "round_committed" and len(event["members"]) == 2:
            break
    assert noticed is not None
    assert noticed < limit
    assert time.monotonic() - started < limit + 15.0, "a round takes about ten seconds"
    assert all(trainer.is_running() for trainer in trainers)
    assert devices[0].ctl("stop", event["run"]).code == 0
    training.communicate(timeout=60)
    assert training.returncode == 0


def test_a_forgotten_device_is_cut_off_within_a_second(home: Home, tmp_path: Path) -> None:
    owner, out, stays = home.paired(*NAMES)
    held = out.run("ss", "-Htn", "state", "established", "dst", owner.address).stdout
    assert str(AGENT_PORT) in held
    forgotten = owner.ctl("forget", "two")
    assert forgotten.code == 0, forgotten
    time.sleep(1.0)
    for device in (owner, stays):
        lines = device.run("ss", "-Htn", "state", "established", "dst", out.address).stdout
        assert str(AGENT_PORT) not in lines
        assert all_online(device, 2)


def test_a_guest_finds_one_port(home: Home) -> None:
    devices = home.paired("one", "two")
    guest = home.device("guest", is_running=False)
    script = (
        "import socket,sys\nfor port in range(1, 65536):\n  s=socket.socket(); s.settimeout(2)\n"
        "  if s.connect_ex((sys.argv[1], port)) == 0: print(port)\n  s.close()"
    )
    found = guest.run(sys.executable, "-c", script, devices[0].address, timeout=120).stdout.split()
    assert found == [str(AGENT_PORT)]


def test_without_multicast_one_known_address_is_enough(home: Home) -> None:
    devices = home.paired(*NAMES)
    home.network.set_multicast(False)
    for device in devices:
        device.stop()
        (device.home / "addresses.json").unlink(missing_ok=True)
    devices[0].start()
    for device in devices[1:]:
        device.options = ("--peer", f"{devices[0].address}:{AGENT_PORT}")
        device.start()
    started = time.monotonic()
    for device in devices:
        wait_for(lambda device=device: all_online(device), 10, "all to be online")  # type: ignore[misc]
    assert time.monotonic() - started < 5
    checks = {check["id"]: check for check in devices[0].ctl("doctor", "--json").data}
    assert "multicast is blocked" in checks["multicast"]["detail"]


def test_without_multicast_a_device_joins_at_a_given_address(home: Home) -> None:
    """HOST:PORT is enough: unicast mDNS gets the key from that host alone."""
    home.network.set_multicast(False)
    one, two = home.device("one"), home.device("two")
    pair(one, two, by_key=False)
    wait_for(lambda: all_online(one, 2) and all_online(two, 2), 10, "both to be online")


def test_a_device_that_slept_reports_it_and_is_back(home: Home) -> None:
    one, two = home.paired("one", "two")
    two.lid_closes()
    wait_for(lambda: peers_of(one)["two"]["state"] == "asleep", 8, "the silence to be noticed")
    time.sleep(4)
    two.lid_opens()
    wait_for(lambda: "two was asleep for" in one.log(), 10, "two to report its sleep")
    wait_for(lambda: all_online(one, 2) and all_online(two, 2), 10, "both to be online")
