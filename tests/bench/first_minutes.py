"""How long a person waits in the first minutes, and what an idle agent costs.

    python -m tests.bench.first_minutes [--repeats 20] [--json FILE]

On one machine, over loopback. Discovery uses mDNS, everything else uses known addresses. Prints a table, writes JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.agents import CTL, ENVIRONMENT, Cell, Device, pair, states, wait_for
from tests.bench.results import Results, spread
from tests.integration.test_run import CONFIG, make_project

IDLE_SECONDS = 30.0
PYTHON_START = (sys.executable, "-c", "pass")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/first_minutes.json"))
    options = parser.parse_args()
    results = Results(options.json)
    figures: dict[str, list[float]] = {
        "bare `python -c pass` (ms)": measure(options.repeats, lambda: milliseconds(*PYTHON_START)),
        "cellmindctl --help (ms)": measure(options.repeats, lambda: milliseconds(*CTL, "--help")),
        "discovery by mDNS, agent start to linked (s)": discovery(options.repeats),
    }
    figures |= with_a_cell(options.repeats)
    report(figures, results)
    return 0


def discovery(repeats: int) -> list[float]:
    """Seconds from the start of a paired agent that knows no address until it is linked with the other."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        cell = Cell(Path(folder))
        try:
            one, two = (cell.device(name, "--interface", "lo") for name in ("one", "two"))
            pair(one, two)
            wait_for(lambda: states(one).get("two") == "online", 20, "the two to be linked for the first time")
            for _ in range(repeats):
                for device in (one, two):
                    device.stop()
                    (device.home / "addresses.json").unlink(missing_ok=True)
                one.start()
                wait_for(lambda: "two" in states(one), 20, "one to serve")
                time.sleep(2.0)  # one has announced itself
                log_length = len(two.log())
                started = time.monotonic()
                two.start()
                wait_for(lambda start=log_length: "linked with one" in two.log()[start:], 30, "two to find one")
                found.append(time.monotonic() - started)
        finally:
            cell.close()
    return found


def with_a_cell(repeats: int) -> dict[str, list[float]]:
    """All figures that need a cell of three agents."""
    with tempfile.TemporaryDirectory() as folder:
        cell = Cell(Path(folder))
        try:
            one, two, three = (cell.device(name) for name in ("one", "two", "three"))
            joins = [seconds(lambda joiner=joiner: pair(one, joiner)) for joiner in (two, three)]
            everybody = {"one": "online", "two": "online", "three": "online"}
            for device in (one, two, three):
                wait_for(lambda device=device: states(device) == everybody, 20, "all to see all")
            peers = measure(repeats, lambda: milliseconds(*CTL, "--home", str(one.home), "peers", "--json"))
            first_steps = [first_step(one, cell.folder / f"project-{n}") for n in range(3)]
            time.sleep(5)
            memory, cpu = idle([one, two, three])
            return {
                "invite and join, both commands (s)": joins,
                "cellmindctl peers (ms)": peers,
                "train to the first step, 3 agents (s)": first_steps,
                "idle agent, RSS (MB)": memory,
                "idle agent, CPU of one core (%)": cpu,
            }
        finally:
            cell.close()


def first_step(device: Device, project: Path) -> float:
    """Seconds from the command to the first training step on all members, with a tokenizer and shards to make."""
    make_project(project, {**CONFIG, "model": {"d_model": 32, "nhead": 4, "num_layers": 2}})
    started = time.monotonic()
    training = device.start_ctl("train", "--json", "--yes", cwd=project)
    assert training.stdout
    elapsed = 0.0
    for line in training.stdout:
        event = json.loads(line)
        if not elapsed and event["event"] in ("progress", "round_committed") and event["step"] > 0:
            elapsed = time.monotonic() - started
    training.communicate()
    return elapsed


def idle(devices: list[Device]) -> tuple[list[float], list[float]]:
    """For each agent, its RSS in MB and its percentage of one core over half a minute."""
    processes = [psutil.Process(device.process.pid) for device in devices if device.process]
    before = [sum(p.cpu_times()[:2]) for p in processes]
    time.sleep(IDLE_SECONDS)
    cpu = [100 * (sum(p.cpu_times()[:2]) - b) / IDLE_SECONDS for p, b in zip(processes, before, strict=True)]
    return [p.memory_info().rss / 1e6 for p in processes], cpu


def measure(repeats: int, once: Callable[[], float]) -> list[float]:
    return [once() for _ in range(repeats)]


def milliseconds(*command: str) -> float:
    return 1000 * seconds(
        lambda: subprocess.run(
            command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True
        )
    )


def seconds(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def report(figures: dict[str, list[float]], results: Results) -> None:
    rows = {name: spread(values) for name, values in figures.items()}
    results.save(rows, figures)
    print(f"{results.about()}\n| figure | p50 | p95 | n |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['p50']:.2f} | {row['p95']:.2f} | {row['n']} |")


if __name__ == "__main__":
    sys.exit(main())
