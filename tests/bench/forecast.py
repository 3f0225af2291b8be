"""How near is what `train` forecasts to what the run then does, in simulated homes?

    python -m tests.bench.forecast [--seconds 60] [--homes NAME,...] [--json FILE]                        needs root

In each home `cellmindctl train` measures devices and network, chooses who takes part and how, and trains for so long.
Then `runs show` compares: tokens a second as forecast and as measured, of all rounds in which all members took part,
but for the first two and those that evaluate. Prints a table, writes JSON.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.bench.results import Results
from tests.bench.wifi.project import prepare
from tests.bench.wifi.run import START_SECONDS
from tests.bench.wifi.ways import ONE_THREAD, WAYS, OurWay
from tests.bench.wifi.with_cellmind import switch_on, write_config
from tests.lab.home import Home
from tests.watcher import has_trained, start_training


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Devices with these parts of a core, on a network of `Network`; the first `num_wired` have a cable."""

    cores: Sequence[float]
    network: Mapping[str, Any] = field(default_factory=dict)
    num_wired: int = 0


PLACES: Mapping[str, Place] = {
    "2 equal, 20 Mbit/s shared": Place(cores=(0.9, 0.9), network={"shared": "20mbit"}),
    "3 equal, 35 Mbit/s shared": Place(cores=(0.6, 0.6, 0.6), network={"shared": "35mbit"}),
    "4 equal, 100 Mbit/s shared": Place(cores=(0.45,) * 4, network={"shared": "100mbit"}),
    "1 : 2 : 4, cables of 1 Gbit/s": Place(cores=(0.2, 0.4, 0.8), network={"link": "1gbit"}),
    "3 equal, one on a cable, 35 Mbit/s of air": Place(
        cores=(0.6, 0.6, 0.6), network={"shared": "35mbit", "is_relayed": True}, num_wired=1
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--homes", default="", metavar="NAME,...", help="those whose names begin so; default: all")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/forecast.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    torch.set_num_threads(1)
    beginnings = tuple(options.homes.split(",")) if options.homes else ("",)
    found: dict[str, dict[str, Any]] = {}
    print("| home | mode | through | left out | forecast, tokens/s | measured | error |\n|---|---|---|---|---|---|---|")
    for name, place in PLACES.items():
        if name.startswith(beginnings):
            found[name] = one = compare(place, options.seconds)
            row = [name, one["mode"], one["center"] or "", ", ".join(one["left_out"])]
            row += [f"{one['forecast']:,.0f}", f"{one['measured']:,.0f}", f"{one['error']:+.1%}"]
            print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n{results.about()}")
    results.save({name: one["error"] for name, one in found.items()}, found)
    return 0


def compare(place: Place, seconds: float) -> dict[str, Any]:
    """One run in one home."""
    with tempfile.TemporaryDirectory() as name, Home(Path(name) / "homes", **place.network) as home:
        project, _ = prepare(Path(name), seconds)
        devices = [
            home.device(
                f"device{number}",
                cpu=cores,
                environment=ONE_THREAD,
                has_probed_gloo=True,
                is_wired=number < place.num_wired,
            )
            for number, cores in enumerate(place.cores)
        ]
        home.cell.paired(list(devices))
        way = WAYS["CellMind, local"]
        assert isinstance(way, OurWay)
        write_config(project, way, way.lr, seed=1)
        switch_on(devices)
        with start_training(devices[0], project, "--mode", "auto") as watcher:
            plan = watcher.wait_for_kind("plan", START_SECONDS)
            begun = watcher.wait("a round of steps", has_trained, START_SECONDS)
            watcher.wait_for_kind("round_committed", START_SECONDS, since=begun.at + seconds)
            devices[0].ctl("stop", watcher.run, timeout=START_SECONDS)
            watcher.wait_for_kind("finished", START_SECONDS)
            shown = devices[0].ctl("runs", "show", watcher.run, "--json", timeout=START_SECONDS)
    speeds = shown.data["speeds"]
    whole = speeds[0]
    return {
        "mode": plan["mode"],
        "center": plan["center"],
        "left_out": [out["name"] for out in plan["left_out"]],
        "forecast": whole["forecast"],
        "measured": whole["measured"],
        "error": whole["forecast"] / whole["measured"] - 1,
        "speeds": speeds,
        "rounds": [event.data for event in watcher.of_kind("round_committed")],
    }


if __name__ == "__main__":
    sys.exit(main())
