"""The lab's limits and faults are real, and it cleans up after itself."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.agents import wait_for
from tests.lab import network
from tests.lab.capture import read_packets
from tests.lab.home import Home, LabDevice

SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 9)) as line:
    line.sendall(bytes(int(sys.argv[2])))
    line.shutdown(1)
    line.recv(1)
"""
TAKE = """
import socket
l = socket.create_server(("", 9)); print("ready", flush=True)
while True:
    c = l.accept()[0]
    while c.recv(1 << 16): pass
    c.close()
"""
SHOWER = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
    for number in range(int(sys.argv[2])):
        line.sendto(b"drop", (sys.argv[1], 9))
        time.sleep(0.001)
"""
COUNT = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
    line.bind(("", 9)); print("ready", flush=True)
    count = 0
    try:
        while line.recv(9): count += 1; line.settimeout(2)
    except TimeoutError: print(count, flush=True)
"""


def plain(home: Home, *names: str, **limits: float) -> list[LabDevice]:
    """Devices without agents."""
    return [home.device(name, is_running=False, **limits) for name in names]  # type: ignore[arg-type]


def seconds_to_send(one: LabDevice, other: LabDevice, count: int) -> float:
    taking = other.spawn(sys.executable, "-c", TAKE)
    assert taking.stdout
    try:
        assert taking.stdout.readline() == "ready\n"
        started = time.monotonic()
        assert one.run(sys.executable, "-c", SEND, other.address, str(count)).returncode == 0
        return time.monotonic() - started
    finally:
        taking.kill()
        taking.wait()
        taking.stdout.close()


def best_seconds(one: LabDevice, other: LabDevice, count: int) -> float:
    """The least of three tries: other processes may delay any of them, and none can be faster than the link."""
    return min(seconds_to_send(one, other, count) for _ in range(3))


def datagrams_through(one: LabDevice, other: LabDevice, count: int) -> int:
    """How many of `count` datagrams arrive. (Not TCP, whose time through such a loss cannot be predicted.)"""
    taking = other.spawn(sys.executable, "-c", COUNT)
    assert taking.stdout
    try:
        assert taking.stdout.readline() == "ready\n"
        assert one.run(sys.executable, "-c", SHOWER, other.address, str(count)).returncode == 0
        return int(taking.stdout.readline())
    finally:
        taking.kill()
        taking.wait()
        taking.stdout.close()


def dials(one: LabDevice, other: LabDevice, port: int = 9) -> bool:
    """True when the other device answers at all, even with a refusal."""
    script = (
        "import socket,sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)\n"
        "except ConnectionRefusedError: pass\nexcept OSError: sys.exit(1)"
    )
    return one.run(sys.executable, "-c", script, other.address, str(port)).returncode == 0


def test_links_have_the_requested_rate_and_bytes_are_counted(home: Home) -> None:
    one, two = plain(home, "one", "two")
    assert 0.35 < best_seconds(one, two, 5_000_000) < 1.0  # 0.4 s at 100 Mbit/s
    for count in (home.network.bytes_sent("one"), home.network.bytes_received("two")):
        assert 15_000_000 < count < 16_800_000


def test_partitions_port_blocks_and_firewalls_work_and_partitions_heal(home: Home) -> None:
    one, two, three = plain(home, "one", "two", "three")
    assert dials(one, two)
    home.network.partition(["one"], ["two", "three"])
    assert not dials(one, two)
    assert dials(two, three)
    home.network.heal()
    assert dials(one, two)
    home.network.block_port("two", 9)
    assert not dials(one, two)
    assert dials(one, two, 10)
    home.network.block_inbound("three")
    assert not dials(one, three, 10)
    assert dials(three, one, 10)


def test_connections_become_half_open_and_cables_come_out(home: Home) -> None:
    one, two = plain(home, "one", "two")
    home.network.half_open("two")
    assert not dials(one, two)
    assert not dials(two, one)
    assert datagrams_through(two, one, 10) == 10
    home.network.heal()
    assert dials(one, two)
    home.network.set_cable("two", is_in=False)
    assert not dials(one, two)
    home.network.set_cable("two", is_in=True)
    assert dials(one, two)
    assert datagrams_through(two, one, 10) == 10


def test_a_disk_is_full_alone_and_goes_with_its_home(tmp_path: Path) -> None:
    why_not = network.why_not_here()
    if why_not:
        pytest.skip(why_not)
    with Home(tmp_path) as home:
        small = home.device("small", is_running=False, disk_bytes=1 << 20)
        with pytest.raises(OSError, match="No space left"):
            (small.home / "file").write_bytes(bytes(2 << 20))
        (tmp_path / "file").write_bytes(bytes(2 << 20))
        assert f"{home.lab}-disk" in Path("/proc/mounts").read_text()
    assert f"{home.lab}-disk" not in Path("/proc/mounts").read_text()


def test_the_clock_of_a_device_is_put_forward_and_back(home: Home, tmp_path: Path) -> None:
    device = home.device("one", is_running=False)
    script = (
        "import time; print(time.time() - time.clock_gettime(time.CLOCK_REALTIME), time.time_ns() / 1e9 - time.time())"
    )
    inside = ("env", f"PYTHONPATH={Path(__file__).parent / 'inside'}", f"LAB_FAULTS={tmp_path}", sys.executable)
    for offset in (3600.0, 0.0):
        (tmp_path / "clock").write_text(str(offset))
        ahead, difference = map(float, device.run(*inside, "-c", script).stdout.split())
        assert ahead == pytest.approx(offset, abs=1)
        assert difference == pytest.approx(0, abs=1)


def test_shared_air_is_one_medium(tmp_path: Path) -> None:
    why_not = network.why_not_here()
    if why_not:
        pytest.skip(why_not)
    with Home(tmp_path, shared="100mbit") as home:
        one, two, three, four = plain(home, "one", "two", "three", "four")
        assert best_seconds(one, two, 5_000_000) < 0.7  # 0.4 s at 100 Mbit/s
        with ThreadPoolExecutor() as pool:
            both = list(pool.map(lambda pair: seconds_to_send(*pair, 5_000_000), ((one, two), (three, four))))
        assert max(both) > 0.75  # 0.8 s for the two


def test_a_relay_delays_and_loses(home: Home) -> None:
    one, two = plain(home, "one", "two")
    (far,) = plain(home, "far", delay_seconds=0.05)
    (bad,) = plain(home, "bad", loss=0.3)
    assert best_seconds(one, far, 10) > best_seconds(one, two, 10) + 0.09  # connecting takes a round trip
    assert datagrams_through(one, bad, 1000) == pytest.approx(700, abs=100)  # seven standard deviations


def test_a_device_gets_its_share_of_a_core(home: Home) -> None:
    groups = network.control_groups(home.lab, "probe")
    if "cpu" not in groups:
        pytest.skip("no control group for cpu here")
    slow = home.device("slow", is_running=False, cpu=0.2)
    script = "import time\nend=time.monotonic()+1\nwhile time.monotonic()<end: pass\nprint(time.process_time())"
    assert float(slow.run(sys.executable, "-c", script).stdout) < 0.5
    slow.set_cpu(None)
    assert max(float(slow.run(sys.executable, "-c", script).stdout) for _ in range(5)) > 0.5, "the limit is lifted"


def test_a_capture_sees_each_frame_once(home: Home, tmp_path: Path) -> None:
    one, two = plain(home, "one", "two")
    with home.captured(tmp_path / "air.pcap") as file:
        seconds_to_send(one, two, 300_000)
    sent = [packet for packet in read_packets(file) if packet.protocol == "tcp" and packet.target_port == 9]
    assert sum(len(packet.payload) for packet in sent) == 300_000
    assert {(packet.source, packet.target) for packet in sent} == {(one.address, two.address)}


def is_dead(process: int) -> bool:
    """True when the process has ended, even if its parent has not yet collected it."""
    return not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def test_only_the_rest_of_a_crashed_lab_is_removed(tmp_path: Path, home: Home) -> None:
    """Another process makes a home, and ends without cleaning up."""
    script = (
        "import os, pathlib, sys; from tests.lab.home import Home; h = Home(pathlib.Path(sys.argv[1])); "
        "d = h.device('one', is_running=False); s = d.spawn('sh', '-c', 'echo up; exec sleep 1000'); "
        "s.stdout.readline(); print(h.lab, flush=True); os._exit(9)"
    )
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root, check=False)
    lab = done.stdout.strip()
    assert f"{lab}-one" in network.run("ip", "netns", "list")
    sleeping = network.run("ip", "netns", "pids", f"{lab}-one").split()
    assert len(sleeping) == 1
    network.sweep()
    left = network.run("ip", "netns", "list")
    assert lab not in left
    assert home.lab in left
    wait_for(lambda: is_dead(int(sleeping[0])), 5, "the process to end")
    assert not (network.REGISTRY / lab).exists()
