"""What tunnels cost: all_reduce of two ranks in two network namespaces, compared with plain gloo in the same run.

    python -m tests.bench.tunnels [--turns 2] [--repeats 6] [--gigabytes 20] [--json FILE]    needs root (see tests/lab)

Plain gloo sends its bytes unencrypted over the network. The others take the path of a run: trainer, loopback, agent,
CURVE, agent, loopback, trainer. The ways alternate, and all processes share this machine's processors. At the end one
pair of agents carries --gigabytes, and the growth of their memory is measured. Prints tables, writes JSON.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.bench.results import Results, spread
from tests.lab import network
from tests.lab.network import Network

COUNT = 23_000_000
WAYS = ("plain", "gloo", "portable")
LINKS = (None, "100mbit")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--gigabytes", type=float, default=20.0, help="for the memory figure")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/tunnels.json"))
    options = parser.parse_args()
    results = Results(options.json)
    found: dict[str, dict[str, list[float]]] = {}
    for link in LINKS:
        for _ in range(options.turns if link is None else 1):
            for way in WAYS:
                times = once(way, link, options.repeats if link is None else 2)
                kept = found.setdefault(f"{link or 'unshaped'} {way}", {"large": [], "small": []})
                for size in ("large", "small"):
                    kept[size] += times[size]
    grown = memory(options.gigabytes) if options.gigabytes else {}
    report(found, grown, results)
    return 0


def memory(gigabytes: float) -> dict[str, list[float]]:
    """RSS in MB of the two agents, after the first fifth of the all_reduces and at the end."""
    seen: list[list[float]] = []

    def sample(ranks: list[subprocess.Popen[bytes]]) -> None:
        with contextlib.suppress(psutil.Error):
            seen.append([psutil.Process(rank.pid).memory_info().rss / 1e6 for rank in ranks])

    repeats = math.ceil(gigabytes * 1e9 / (2 * 4 * COUNT))  # in and out of each agent
    once("gloo", None, repeats, sample)
    return {"early": seen[len(seen) // 5], "late": seen[-4]}


def once(
    way: str, link: str | None, repeats: int, on_wait: Callable[[list[subprocess.Popen[bytes]]], None] | None = None
) -> dict[str, list[float]]:
    """The seconds of each all_reduce of two ranks in two fresh namespaces. `on_wait` is called twice a second."""
    network.sweep()
    lab = f"cmb{os.getpid() % 10000}"
    network.register(lab)
    made = Network(lab, link)
    with tempfile.TemporaryDirectory() as folder:
        ranks = []
        try:
            ports = [made.plug(name) for name in ("one", "two")]
            for rank, port in enumerate(ports):
                place = f"{ports[0].address}:29500" if way == "plain" else "-"
                words = ["-m", "tests.bench.rank", way, str(rank), place, str(COUNT), str(repeats), f"{folder}/times"]
                if way != "plain":
                    other = ports[1 - rank].address
                    words = ["-m", "tests.bench.courier", str(rank), port.address, other, folder, *words]
                ranks.append(subprocess.Popen(["ip", "netns", "exec", port.namespace, sys.executable, *words]))
            while on_wait and all(rank.poll() is None for rank in ranks):
                on_wait(ranks)
                time.sleep(0.5)
            codes = [rank.wait(300) for rank in ranks]
            if any(codes):
                raise RuntimeError(f"{way} over {link}: ranks ended with {codes}")
            found: dict[str, list[float]] = json.loads(Path(folder, "times").read_text())
            return found
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
            made.close()
            network.unregister(lab)


def report(found: dict[str, dict[str, list[float]]], grown: dict[str, list[float]], results: Results) -> None:
    rows = {}
    for name, times in found.items():
        link = name.split()[0]
        seconds, small = statistics.median(times["large"]), spread([1000 * each for each in times["small"]])
        rows[name] = {
            "seconds": seconds,
            "gigabits_each_way": COUNT * 4 * 8 / seconds / 1e9,  # each of two ranks sends all of it once
            "of_plain_gloo": statistics.median(found[f"{link} plain"]["large"]) / seconds,
            "one_float_ms_p50": small["p50"],
            "one_float_ms_p95": small["p95"],
        }
    results.save(rows, found, memory_mb=grown)
    print(f"all_reduce of {COUNT:,} float32 between two namespaces, {results.about()}")
    print("| link, group | s | Gbit/s each way | of plain gloo | 1 float p50 (ms) | p95 |\n|---|---|---|---|---|---|")
    for name, row in rows.items():
        figures = "{seconds:.3f} | {gigabits_each_way:.2f} | {of_plain_gloo:.2f}".format(**row)
        print(f"| {name} | {figures} | {row['one_float_ms_p50']:.2f} | {row['one_float_ms_p95']:.2f} |")
    for place in range(2 if grown else 0):
        early, late = grown["early"][place], grown["late"][place]
        print(f"agent {place}: {early:.1f} MB RSS early, {late:.1f} MB at the end ({late - early:+.1f})")


if __name__ == "__main__":
    sys.exit(main())
