"""Does a guest without keys slow a run? Two devices train while a third floods one of them, or, for comparison, a
device beside them that has nothing to do with the run (everything here shares two cores).

    python -m tests.bench.guest [--seconds 20] [--turns 2] [--json FILE]      needs root (see tests/lab)

The figure is training throughput under the flood as a share of that under the same flood aimed elsewhere.
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

from tests.integration.test_run import LONG, make_project
from tests.lab.home import AGENT_PORT, Home, LabDevice

KINDS = ("connect", "garbage", "oversized", "handshake")
SINK = """
import socket
l = socket.create_server(("", 7420), backlog=1000); print("ready", flush=True)
while True: l.accept()[0].close()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/guest.json"))
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    found: dict[str, dict[str, list[float]]] = {kind: {"aimed": [], "elsewhere": []} for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder, Home(Path(folder), link="100mbit") as home:
        devices = home.paired("one", "two")
        guest, beside = (home.device(name, is_running=False, cpu=0.2) for name in ("guest", "beside"))
        sink = beside.spawn(sys.executable, "-c", SINK)
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
                    for aim, target in (("elsewhere", beside), ("aimed", devices[0])):
                        found[kind][aim].append(throughput(progress, guest, kind, target, options.seconds))
        finally:
            devices[0].ctl("stop")
            training.wait(60)
            sink.kill()
            sink.wait()
            if sink.stdout:
                sink.stdout.close()
    report(found, options.json, load_before)
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


def throughput(progress: Progress, guest: LabDevice, kind: str, target: LabDevice, seconds: float) -> float:
    """Steps a second while the guest is at it."""
    key = z85.decode(target.control["server_key"].encode()).hex() if target.process else "00" * 32
    words = (kind, target.address, str(AGENT_PORT), key, str(seconds + 4))
    flood = guest.spawn(sys.executable, "-m", "tests.lab.guest", *words)
    time.sleep(2)
    step, at = progress.step, progress.at
    time.sleep(seconds)
    rate = (progress.step - step) / (progress.at - at)
    out, _ = flood.communicate(timeout=60)
    print(f"{kind:<10} at {target.name:<7} {int(out) / (seconds + 4):>8.0f}/s   {rate:.2f} steps/s", flush=True)
    return rate


def report(found: dict[str, dict[str, list[float]]], path: Path, load_before: float) -> None:
    rows = {kind: {aim: statistics.median(values) for aim, values in rates.items()} for kind, rates in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "load_before": load_before, "load_after": os.getloadavg()[0]}
    path.write_text(json.dumps({"machine": machine, "figures": rows, "values": found}, indent=1))
    print("| flood | steps/s, aimed elsewhere | aimed at the leader | share |\n|---|---|---|---|")
    for kind, row in rows.items():
        share = row["aimed"] / row["elsewhere"]
        print(f"| {kind} | {row['elsewhere']:.2f} | {row['aimed']:.2f} | {share:.3f} |")


if __name__ == "__main__":
    sys.exit(main())
