"""Devices on one Wi-Fi: one alone, all together step by step (`ddp`), and each for itself between averages (`local`).

    python -m tests.bench.wifi [--devices 3] [--air 35mbit] [--cores 0.6] [--seconds 240] [--json FILE]     needs root

Each device of a simulated home has a part of a core (a CPU quota), and all share the air: one medium of the given rate
for what anybody sends. They train a network of three million parameters on LibreOffice's Korean help, each way for the
same time after its first rounds. Prints a table, writes JSON: tokens a second, bytes that the devices sent (counted by
the kernel at their network interfaces) for each token, the held-out loss at the end, and idle time as the members
report it.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.agents import wait_for
from tests.bench.churned_loss import first_characters
from tests.bench.korean import help_texts
from tests.bench.results import Results
from tests.bench.shards import Shape
from tests.bench.small_run import small_config, write_text
from tests.lab.home import Home, LabDevice, peers_of
from tests.watcher import has_trained, start_training

SHAPE = Shape(d_model=224, nhead=4, num_layers=4, vocab_size=4000, seq_len=128, batch_size=16)
LR = 0.003
WAYS = {"one alone": "ddp", "together, ddp": "ddp", "together, local": "local"}
_CHARACTERS = 3_000_000
_START_SECONDS = 600.0
_SETTLING_ROUND = 3  # the rounds before it are short, since nothing is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one way reached. Losses in nats a token, shares of time between 0 and 1."""

    tokens_per_second: float
    sent_bytes_per_token: float
    tokens: int
    val_loss: float
    idle: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=3)
    parser.add_argument("--air", default="35mbit", metavar="RATE")
    parser.add_argument("--cores", type=float, default=0.6, help="of each device")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--ways", default=";".join(WAYS), metavar="NAME;...")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/wifi.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    names = [f"device{number}" for number in range(options.devices)]
    found: dict[str, Run] = {}
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder) / "homes", shared=options.air) as home:
        texts = first_characters(help_texts(Path(folder)), _CHARACTERS)
        devices = [home.device(name, cpu=options.cores, has_probed_gloo=True) for name in names]
        home.cell.paired(list(devices))
        project = write_text(Path(folder) / "project", texts, small_config(SHAPE, lr=LR))
        for way in options.ways.split(";"):
            chosen = devices[:1] if way == "one alone" else devices
            found[way] = train(devices, chosen, project, WAYS[way], options.seconds)
            print(f"{way}: {found[way]}", flush=True)
    report(found, options, results)
    return 0


def train(devices: Sequence[LabDevice], chosen: Sequence[LabDevice], project: Path, mode: str, seconds: float) -> Run:
    """One run of the chosen devices, measured between two committed rounds."""
    wait_for(lambda: all(peer["run"] is None for peer in peers_of(devices[0]).values()), 60, "all to be free")
    words = ("--devices", ",".join(device.name for device in chosen), "--mode", mode)
    with start_training(devices[0], project, *words) as watcher:
        first = watcher.wait(
            "a long round", lambda event: has_trained(event) and event["round"] >= _SETTLING_ROUND, _START_SECONDS
        )
        sent = sum(sent_bytes(device) for device in devices)
        time.sleep(seconds)
        last = watcher.wait("a committed round", has_trained, _START_SECONDS, time.monotonic())
        sent = sum(sent_bytes(device) for device in devices) - sent
        idle = statistics.mean(member["idle_fraction"] for member in last["members"])
        devices[0].ctl("stop", watcher.run, timeout=_START_SECONDS)
        finished = watcher.wait_for_kind("finished", _START_SECONDS)
    tokens = last["tokens"] - first["tokens"]
    return Run(
        tokens_per_second=tokens / (last.at - first.at),
        sent_bytes_per_token=sent / tokens,
        tokens=finished["tokens"],
        val_loss=finished["val_loss"],
        idle=idle,
    )


def sent_bytes(device: LabDevice) -> int:
    """What the device has sent on its network interface so far."""
    lines = device.run("cat", "/proc/net/dev").stdout.splitlines()
    (line,) = (line for line in lines if line.strip().startswith("eth0:"))
    return int(line.split()[9])


def report(found: Mapping[str, Run], options: argparse.Namespace, results: Results) -> None:
    rows = {way: asdict(run) for way, run in found.items()}
    results.save(rows, {}, devices=options.devices, air=options.air, cores=options.cores)
    where = f"{options.devices} devices of {options.cores} cores, {options.air} of shared air"
    print(f"\n{where}, {results.about()}")
    print("| way | tokens/s | bytes sent a token | tokens trained | held-out loss | idle |\n|---|---|---|---|---|---|")
    for way, run in found.items():
        print(
            f"| {way} | {run.tokens_per_second:,.0f} | {run.sent_bytes_per_token:,.1f} | {run.tokens:,} "
            f"| {run.val_loss:.3f} | {run.idle:.1%} |"
        )


if __name__ == "__main__":
    sys.exit(main())
