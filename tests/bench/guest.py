"""Does a guest without keys slow a run? Two devices train while a guest floods the leader. Before each such window the
same guest floods a device outside the run, which drops every packet of the flood.

    python -m tests.bench.guest [--seconds 10] [--turns 4] [--json FILE]      needs root (see tests/lab)

The figure is the training throughput in the first window as a share of that in the second, as the median of the turns.
So it shows what the guest costs the run, and leaves out the processor time that it takes here, where all devices share
the cores (the guest is limited to a twentieth of one core).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from zmq.utils import z85

from tests.bench.results import Results
from tests.integration.test_run import LONG, make_project
from tests.lab.home import AGENT_PORT, Home, LabDevice

KINDS = ("connect", "garbage", "oversized", "handshake")
GUEST_CORES = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/guest.json"))
    options = parser.parse_args()
    results = Results(options.json)
    found: dict[str, dict[str, list[float]]] = {kind: {"elsewhere": [], "aimed": []} for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder), link="100mbit") as home:
        devices = home.paired("one", "two")
        guest = home.device("guest", is_running=False, cpu=GUEST_CORES)
        beside = home.device("beside", is_running=False)
        home.network.block_port("beside", AGENT_PORT)
        key = z85.decode(devices[0].control["server_key"].encode())
        endless = {**LONG, "training": {**LONG["training"], "epochs": 100_000}}
        training = devices[0].start_ctl(
            "train",
            "--json",
            "--yes",
            "--mode",
            "ddp",
            "--backend",
            "gloo",
            cwd=make_project(Path(folder) / "p", endless),
        )
        try:
            progress = Progress(training)
            while progress.step < 3:
                time.sleep(0.1)
            time.sleep(10)
            for _ in range(options.turns):
                for kind in KINDS:
                    for aim, target in (("elsewhere", beside), ("aimed", devices[0])):
                        words = (kind, target.address, str(AGENT_PORT), key.hex(), str(options.seconds + 4))
                        found[kind][aim].append(under_flood(progress, guest, words, options.seconds))
        finally:
            devices[0].ctl("stop")
            training.wait(60)
    report(found, results)
    return 0


class Progress:
    """The last step that the run has reported, and when."""

    def __init__(self, training: subprocess.Popen[str]) -> None:
        self.step, self.at = 0, time.monotonic()
        self._training = training
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._training.stdout
        for line in self._training.stdout:
            event = json.loads(line)
            if event["event"] in ("progress", "round_committed") and event["step"] > self.step:
                self.step, self.at = event["step"], time.monotonic()
            elif event["event"] in ("member_lost", "failed"):
                print(line, file=sys.stderr)
                os._exit(1)


def steps_per_second(progress: Progress, seconds: float) -> float:
    """Measured over so many seconds from now. Raises RuntimeError when there was no step."""
    step, at = progress.step, progress.at
    time.sleep(seconds)
    if progress.step == step:
        raise RuntimeError("the run made no step or has ended: use fewer --turns or --seconds")
    return (progress.step - step) / (progress.at - at)


def under_flood(progress: Progress, guest: LabDevice, words: tuple[str, ...], seconds: float) -> float:
    """Steps per second during the flood."""
    flood = guest.spawn(sys.executable, "-m", "tests.lab.guest", *words)
    time.sleep(2)
    rate = steps_per_second(progress, seconds)
    out, _ = flood.communicate(timeout=60)
    print(f"{words[0]:<10} at {words[1]} {int(out) / (seconds + 4):>6.0f}/s   {rate:.2f} steps/s", flush=True)
    return rate


def report(found: dict[str, dict[str, list[float]]], results: Results) -> None:
    rows = {}
    for kind, rates in found.items():
        shares = [aimed / elsewhere for elsewhere, aimed in zip(rates["elsewhere"], rates["aimed"], strict=True)]
        rows[kind] = {"share": statistics.median(shares), "lowest": min(shares), "highest": max(shares)}
    results.save(rows, found)
    print(f"{results.about()}\n| the guest | share of the throughput | lowest and highest turn |\n|---|---|---|")
    for kind, row in rows.items():
        print("| {} | {share:.2f} | {lowest:.2f} to {highest:.2f} |".format(kind, **row))


if __name__ == "__main__":
    sys.exit(main())
