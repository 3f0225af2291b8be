"""Does a guest without keys slow a run? Two devices train while a third floods the leader, and between the floods they
are left in peace.

    python -m tests.bench.guest [--seconds 20] [--turns 3] [--json FILE]      needs root (see tests/lab)

The figure is training throughput under each flood as a share of that in peace, windows of both by turns. The guest has
a twentieth of a core, since here it takes from the two cores that all devices share: that alone may cost 2.5 %.
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
PEACE = "peace"
GUEST_CORES = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/guest.json"))
    options = parser.parse_args()
    results = Results(options.json)
    found: dict[str, list[float]] = {kind: [] for kind in (*KINDS, PEACE)}
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder), link="100mbit") as home:
        devices = home.paired("one", "two")
        guest = home.device("guest", is_running=False, cpu=GUEST_CORES)
        training = devices[0].start_ctl(
            "train", "--json", "--yes", "--backend", "gloo", cwd=make_project(Path(folder) / "p", LONG)
        )
        try:
            progress = Progress(training)
            while progress.step < 3:
                time.sleep(0.1)
            time.sleep(10)
            for _ in range(options.turns):
                for kind in KINDS:
                    found[PEACE].append(steps_a_second(progress, options.seconds))
                    found[kind].append(under_flood(progress, guest, kind, devices[0], options.seconds))
        finally:
            devices[0].ctl("stop")
            training.wait(60)
    report(found, results)
    return 0


class Progress:
    """The last step that the run has told of, and when."""

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


def steps_a_second(progress: Progress, seconds: float) -> float:
    step, at = progress.step, progress.at
    time.sleep(seconds)
    if progress.step == step:
        raise RuntimeError("the run stands still or has ended: fewer --turns, or --seconds")
    return (progress.step - step) / (progress.at - at)


def under_flood(progress: Progress, guest: LabDevice, kind: str, target: LabDevice, seconds: float) -> float:
    """Steps a second while the guest is at it."""
    key = z85.decode(target.control["server_key"].encode()).hex()
    words = (kind, target.address, str(AGENT_PORT), key, str(seconds + 4))
    flood = guest.spawn(sys.executable, "-m", "tests.lab.guest", *words)
    time.sleep(2)
    rate = steps_a_second(progress, seconds)
    out, _ = flood.communicate(timeout=60)
    print(f"{kind:<10} {int(out) / (seconds + 4):>8.0f}/s   {rate:.2f} steps/s", flush=True)
    return rate


def report(found: dict[str, list[float]], results: Results) -> None:
    peace = statistics.median(found[PEACE])
    rows = {
        kind: {"steps_a_second": statistics.median(rates), "share": statistics.median(rates) / peace,
               "lowest": min(rates) / peace, "highest": max(rates) / peace}
        for kind, rates in found.items()
    }  # fmt: skip
    results.save(rows, found)
    print(f"{results.about()}\n| the guest | steps/s | share of peace | lowest and highest window |\n|---|---|---|---|")
    for kind, row in rows.items():
        print("| {} | {steps_a_second:.2f} | {share:.3f} | {lowest:.3f} - {highest:.3f} |".format(kind, **row))


if __name__ == "__main__":
    sys.exit(main())
