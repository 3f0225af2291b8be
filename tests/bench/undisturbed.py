"""What the rounds cost a run that nothing disturbs: this tree against another checkout, such as the commit before.

    python -m tests.bench.undisturbed --against PATH [--runs 5] [--seconds 30] [--json FILE]     needs root

Two simulated homes of three devices, links of 100 Mbit/s: one runs this tree, one the checkout at PATH, with the same
Python and libraries. The runs take turns, so that a busy moment of the machine strikes both. One run of each comes
first and does not count, since devices measure how they compute fastest. Each run prepares the same text (from the
second on it is in the cache), trains for a while and is stopped. Prints a table, writes JSON.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.agents import states, wait_for
from tests.bench.results import Results
from tests.bench.shards import Shape
from tests.bench.small_run import random_texts, small_config, write_text
from tests.lab.home import Home, LabDevice, peers_of
from tests.watcher import start_training

NAMES = ("one", "two", "three")
SHAPE = Shape(d_model=64, nhead=4, num_layers=2, vocab_size=1000, seq_len=64, batch_size=24)
STEPS = ("progress", "round_committed")  # the events that say how far a run is
_CODE = Path(__file__).parents[2]
_NUM_TEXTS = 2000
_START_SECONDS = 120.0
_SETTLING_ROUND = 2  # the rounds before it are short, since no speed is known
FIGURES = {"first_step": "`train` to the first step (s)", "speed": "tokens/s"}


@dataclass(frozen=True, slots=True)
class Run:
    first_step: float  # seconds from the command
    speed: float  # tokens a second, commits and all


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, metavar="PATH")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each run, after its first rounds")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/undisturbed.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    trees = {"before": options.against.absolute(), "this tree": _CODE}
    found: dict[str, list[Run]] = {name: [] for name in trees}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        homes = {name: stack.enter_context(Home(folder / name, link="100mbit")) for name in trees}
        devices = {name: start_cell(homes[name], code) for name, code in trees.items()}
        for turn in range(-1, options.runs):
            for name in trees if turn % 2 else reversed(trees):
                run = train_once(devices[name], folder / "project", options.seconds)
                print(f"{name:<10} {'(does not count)' if turn < 0 else ''} {run}", flush=True)
                if turn >= 0:
                    found[name].append(run)
    report(found, results)
    return 0


def start_cell(home: Home, code: Path) -> list[LabDevice]:
    devices = [home.device(name, paths=(code,), has_probed_gloo=True) for name in NAMES]
    home.cell.paired(list(devices))
    return devices


def train_once(devices: Sequence[LabDevice], project: Path, seconds: float) -> Run:
    """One run of all three, from the command to its stop."""
    wait_for(lambda: is_at_rest(devices[0]), 60, "all to be online and free")
    write_text(project, random_texts(_NUM_TEXTS, random.Random(1)), small_config(SHAPE))
    started = time.monotonic()
    with start_training(devices[0], project) as watcher:
        first = watcher.wait("the first step", lambda event: event.kind in STEPS and event["step"] > 0, _START_SECONDS)
        settled = watcher.wait(
            "a long round",
            lambda event: event.kind == "round_started" and event["round"] >= _SETTLING_ROUND,
            _START_SECONDS,
        )
        time.sleep(seconds)
        seen = [event for event in watcher.events if event.at >= settled.at and event.kind in STEPS]
        names = [member["name"] for member in watcher.of_kind("plan")[0]["roster"]]
        assert sorted(names) == sorted(NAMES), names
        devices[0].ctl("stop", watcher.run)
        watcher.wait_for_kind("finished")
    steps = seen[-1]["step"] - seen[0]["step"]
    return Run(first.at - started, steps * SHAPE.tokens_per_step / (seen[-1].at - seen[0].at))


def is_at_rest(device: LabDevice) -> bool:
    everybody = dict.fromkeys(NAMES, "online")
    return states(device) == everybody and all(peer["run"] is None for peer in peers_of(device).values())


def report(found: Mapping[str, Sequence[Run]], results: Results) -> None:
    rows = {}
    for name, runs in found.items():
        for field, title in FIGURES.items():
            values = [getattr(run, field) for run in runs]
            middle = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
            rows[f"{title}, {name}"] = {**middle, "n": len(values)}
    results.save(rows, {name: [[run.first_step, run.speed] for run in runs] for name, runs in found.items()})
    print(f"\nthree devices, links of 100 Mbit/s, {results.about()}")
    print("| figure | median | lowest and highest | n |\n|---|---|---|---|")
    for name, row in rows.items():
        print("| {} | {median:,.2f} | {lowest:,.2f} to {highest:,.2f} | {n} |".format(name, **row))
    for title in FIGURES.values():
        new, old = (rows[f"{title}, {name}"]["median"] for name in ("this tree", "before"))
        print(f"{title}: {new / old:.3f} of before")


if __name__ == "__main__":
    sys.exit(main())
