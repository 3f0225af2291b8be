"""How soon the devices of a home find each other, and how soon they notice that one is lost.

    python -m tests.bench.home [--repeats 20] [--losses 4] [--json FILE]      needs root (see tests/lab)

Three devices with links of 100 Mbit/s. Prints a table, writes JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.agents import wait_for
from tests.bench.results import Results, spread
from tests.integration.test_run import LONG, make_project
from tests.lab.home import AGENT_PORT, Home, LabDevice, peers_of

NAMES = ("one", "two", "three")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--losses", type=int, default=4)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/home.json"))
    options = parser.parse_args()
    results = Results(options.json)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder), link="100mbit") as home:
        devices = home.paired(*NAMES)
        found["all three find each other, mDNS (s)"] = [discovery(devices) for _ in range(options.repeats)]
        home.network.set_multicast(False)
        peer = ("--peer", f"{devices[0].address}:{AGENT_PORT}")
        for device in devices[1:]:
            device.options = peer
        found["the same without multicast, one known address (s)"] = [
            discovery(devices) for _ in range(options.repeats)
        ]
        home.network.set_multicast(True)
        for name, trouble, undo in (
            ("a frozen member: the run reports it (s)", LabDevice.lid_closes, LabDevice.lid_opens),
            ("a killed member: the run reports it (s)", LabDevice.power_cut, LabDevice.start),
        ):
            times = [loss(devices, trouble, undo, Path(folder) / "project") for _ in range(options.losses)]
            found[name] = [reported for reported, _ in times]
            found[name.replace("the run reports it", "the others train again")] = [again for _, again in times]
    report(found, results)
    return 0


def discovery(devices: list[LabDevice]) -> float:
    """Seconds from the start of all devices, which know no address, until each is linked with both others."""
    for device in devices:
        device.stop()
        (device.home / "addresses.json").unlink(missing_ok=True)
    before = [len(device.log()) for device in devices]
    started = time.monotonic()
    for device in devices:
        device.launch()

    def linked(place: int) -> bool:
        log = devices[place].log()[before[place] :]
        return all(f"linked with {name}" in log for name in NAMES if name != devices[place].name)

    for place in range(len(devices)):
        wait_for(lambda place=place: linked(place), 60, "all to be linked")  # type: ignore[misc]
    return time.monotonic() - started


def loss(
    devices: list[LabDevice],
    trouble: Callable[[LabDevice], object],
    undo: Callable[[LabDevice], object],
    project: Path,
) -> tuple[float, float]:
    """Seconds from the loss of a member until the watcher shows it, and until the others train again."""
    everybody = dict.fromkeys(NAMES, "online")
    for device in devices:
        wait_for(lambda device=device: states(device) == everybody, 60, "all online")  # type: ignore[misc]
    training = start_run(devices[0], make_project(project, LONG))
    assert training.stdout
    leader = ""
    for line in training.stdout:
        event = json.loads(line)
        if event["event"] == "plan":
            leader = event["roster"][0]["name"]
        if event["event"] == "round_committed" and event["step"] > 0:
            break
    victim = next(device for device in devices[1:] if device.name != leader)
    trouble(victim)
    started, reported = time.monotonic(), 0.0
    for line in training.stdout:
        event = json.loads(line)
        if event["event"] == "member_lost":
            reported = time.monotonic() - started
        if event["event"] == "round_started" and reported:
            break
    again = time.monotonic() - started
    devices[0].ctl("stop", event["run"])
    training.communicate(timeout=120)
    undo(victim)
    return reported, again


def start_run(device: LabDevice, project: Path) -> subprocess.Popen[str]:
    """Start a run with all three devices. A device that has just returned may still be busy with the last run."""
    while True:
        planned = device.ctl("plan", "--json", "--all", "--mode", "ddp", cwd=project).data
        if len(planned["roster"]) == len(NAMES):
            return device.start_ctl(
                "train", "--json", "--yes", "--all", "--mode", "ddp", "--backend", "gloo", cwd=project
            )
        time.sleep(1)


def states(device: LabDevice) -> dict[str, object]:
    return {name: peer["state"] for name, peer in peers_of(device).items()}


def report(found: dict[str, list[float]], results: Results) -> None:
    rows = {name: spread(values) for name, values in found.items() if values}
    results.save(rows, found)
    print(f"three devices, links of 100 Mbit/s, {results.about()}")
    print("| figure | p50 | p95 | worst | n |\n|---|---|---|---|---|")
    for name, row in rows.items():
        print("| {} | {p50:.2f} | {p95:.2f} | {worst:.2f} | {n} |".format(name, **row))


if __name__ == "__main__":
    sys.exit(main())
