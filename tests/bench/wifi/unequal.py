"""Devices of unequal speeds in the mode `local`: how long does each wait, and how much of the sum of all is left?

    python -m tests.bench.wifi.unequal [--cores 0.2,0.4,0.8] [--link 1gbit] [--round-seconds 10,30] [--seconds 90]
                                       [--json FILE]                                                       needs root

Each device of a simulated home has a part of a core (a CPU quota) and a cable of the given rate to a switch. First each
trains alone, then all train together, the same network as in `tests.bench.wifi`, in rounds of each of these lengths.
Idle is the part of the rounds in which a device took no step: it waited for the others, or exchanged with them. The
first rounds, which are short because nothing is known, are left out. Prints a table, writes JSON.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from tests.bench.results import Results
from tests.bench.wifi.project import prepare
from tests.bench.wifi.run import START_SECONDS
from tests.bench.wifi.ways import ONE_THREAD, WAYS, OurWay
from tests.bench.wifi.with_cellmind import switch_on, write_config
from tests.lab.home import Home, LabDevice
from tests.watcher import Event, has_trained, start_training

_SETTLING_ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="0.2,0.4,0.8", metavar="SHARE,...")
    parser.add_argument("--link", default="1gbit", metavar="RATE")
    parser.add_argument("--round-seconds", default="10,30", metavar="SECONDS,...")
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/unequal.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    torch.set_num_threads(1)
    shares = [float(share) for share in options.cores.split(",")]
    with tempfile.TemporaryDirectory() as name, Home(Path(name) / "homes", link=options.link) as home:
        project, _ = prepare(Path(name), options.seconds)
        devices = [
            home.device(f"device{rank}", cpu=share, environment=ONE_THREAD, has_probed_gloo=True)
            for rank, share in enumerate(shares)
        ]
        home.cell.paired(list(devices))
        way = WAYS["CellMind, local"]
        assert isinstance(way, OurWay)
        write_config(project, way, way.lr, seed=1)
        alone = [speed_of(train(devices, [device], project, options.seconds)) for device in devices]
        together = {}
        for length in map(float, options.round_seconds.split(",")):
            write_config(project, way, way.lr, seed=1, round_seconds=length)
            together[length] = train(devices, devices, project, options.seconds)
    print(f"\n{options.cores} cores, {options.link}, {results.about()}")
    columns = ["device", "cores", "alone, tokens/s", *(f"idle in rounds of {length:g} s" for length in together)]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for device, share, speed in zip(devices, shares, alone, strict=True):
        idle = [f"{idle_of(rounds, device.name):.1%}" for rounds in together.values()]
        print(f"| {' | '.join([device.name, f'{share:g}', f'{speed:,.0f}', *idle])} |")
    speeds = [speed_of(rounds) for rounds in together.values()]
    parts = [f"{speed:,.0f} tokens/s: {speed / sum(alone):.0%}" for speed in speeds]
    print(f"| {' | '.join(['all', f'{sum(shares):g}', f'{sum(alone):,.0f}', *parts])} |")
    figures = {f"{length:g} s": speed / sum(alone) for length, speed in zip(together, speeds, strict=True)}
    values = {f"{length:g} s": [event.data for event in rounds] for length, rounds in together.items()}
    results.save({"alone": alone, "of the sum": figures}, values)
    return 0


def train(all_devices: Sequence[LabDevice], chosen: Sequence[LabDevice], project: Path, seconds: float) -> list[Event]:
    """The committed rounds of a run of the chosen devices, from the first one that is not short."""
    switch_on(all_devices)
    words = ("--devices", ",".join(device.name for device in chosen), "--mode", "local")
    with start_training(chosen[0], project, *words) as watcher:
        settled = watcher.wait(
            "a round of the usual length",
            lambda event: event.kind == "round_committed" and event["round"] >= _SETTLING_ROUNDS,
            START_SECONDS,
        )
        watcher.wait_for_kind("round_committed", START_SECONDS, since=settled.at + seconds)
        chosen[0].ctl("stop", watcher.run, timeout=START_SECONDS)
        watcher.wait_for_kind("finished", START_SECONDS)
        rounds = [
            event for event in watcher.of_kind("round_committed") if has_trained(event) and event.at >= settled.at
        ]
    return rounds[:-1]  # the last one was cut short


def speed_of(rounds: Sequence[Event]) -> float:
    """Tokens a second from the end of the first of these rounds to that of the last."""
    return float(rounds[-1]["tokens"] - rounds[0]["tokens"]) / (rounds[-1].at - rounds[0].at)


def idle_of(rounds: Sequence[Event], name: str) -> float:
    """The mean over the rounds after the first."""
    members = [member for event in rounds[1:] for member in event["members"] if member["name"] == name]
    return statistics.mean(float(member["idle_fraction"]) for member in members)


if __name__ == "__main__":
    sys.exit(main())
