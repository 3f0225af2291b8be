"""What a person notices of training on their own device, and what the trainer's environment is worth.

    python -m tests.bench.politeness [--only user|environment] [--json FILE]

1. A real agent trains a small model. A program of the person (pure Python, one process a core, in a session of its own)
   runs alone and beside the trainer; a ticker sleeps 10 ms at a time and measures how late it wakes.
2. One trainer without an agent, d_model 256, runs in turn without and with the variables of
   `cellmind_agent/runs/environment.py`.

Prints two tables, writes JSON.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cellmind_agent.runs.environment import trainer_environment
from tests.agents import Cell, Device
from tests.bench.results import Results, spread
from tests.demo.play import CONFIG, write_project
from tokenizer.preparing import TrainingDataOptions, prepare_training_data
from tokenizer.sharding.manifest import to_json

MEASURED_SECONDS = 8.0
SETTLING_SECONDS = 5.0  # longer than the agent takes to notice other programs
TICK_SECONDS = 0.01
STEPS_SECONDS = 8.0
TURNS = 3
MODES: Mapping[str, Sequence[str]] = {
    "off (`--no-yield --nice 0`)": ("--no-yield", "--nice", "0"),
    "priority alone (`--no-yield`)": ("--no-yield",),
    "on": (),
}
CORPUS = "data/for-model-training/train.jsonl"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
LONG: dict[str, Any] = {
    **CONFIG,
    "tokenizer": {},
    "training": {**CONFIG["training"], "batch_size": 16, "epochs": 100_000},
}
WIDE: dict[str, Any] = {
    **CONFIG,
    "model": {"d_model": 256, "nhead": 4, "num_layers": 4},
    "tokenizer": {},
    "training": {**CONFIG["training"], "batch_size": 16, "dataset": {"path": CORPUS, "seq_len": 128}},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["user", "environment"])
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/politeness.json"))
    options = parser.parse_args()
    results = Results(options.json)
    figures: dict[str, Any] = {}
    print(results.about())
    if options.only != "environment":
        figures["user"] = beside_a_person()
    if options.only != "user":
        figures["environment"] = with_and_without_variables()
    results.save(figures, {})
    return 0


# -- 1. a person's program beside a trainer ----------------------------------------------------------------------------


def beside_a_person() -> dict[str, Any]:
    with program() as job:
        alone = job.measure()
    print("| politeness | person's program, of alone | ticker p50 (ms) | p95 | training alone (tokens/s) | beside it |")
    print("|---|---|---|---|---|---|")
    print(f"| no training | 1.00 | {alone['late_p50']:.2f} | {alone['late_p95']:.2f} | | |")
    found: dict[str, Any] = {"alone": alone}
    for name, options in MODES.items():
        row = found[name] = beside_a_trainer(options)
        part = row["rate"] / alone["rate"]
        print(
            f"| {name} | {part:.2f} | {row['late_p50']:.2f} | {row['late_p95']:.2f} "
            f"| {row['training_alone']:,.0f} | {row['training_beside']:,.0f} |"
        )
    return found


def beside_a_trainer(options: Sequence[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, trainer(Path(folder), options) as training:
        time.sleep(SETTLING_SECONDS)
        training_alone = training.tokens_per_second(MEASURED_SECONDS)
        with program() as job:
            time.sleep(SETTLING_SECONDS)
            measuring = threading.Thread(target=lambda: figures.update(job.measure()))
            figures: dict[str, float] = {}
            measuring.start()
            training_beside = training.tokens_per_second(MEASURED_SECONDS)
            measuring.join()
    return {**figures, "training_alone": training_alone, "training_beside": training_beside}


@dataclass
class Training:
    """The progress of a run, as its watcher prints it."""

    progress: list[tuple[float, int]] = field(default_factory=list)  # when, and tokens so far
    has_begun: threading.Event = field(default_factory=threading.Event)

    def follow(self, lines: Iterator[str]) -> None:
        for line in lines:
            event = json.loads(line)
            if event.get("event") in ("progress", "round_committed") and event["tokens"] > 0:
                self.progress.append((time.monotonic(), event["tokens"]))
                self.has_begun.set()

    def tokens_per_second(self, seconds: float) -> float:
        """Between the first and the last report of the next `seconds`."""
        first = len(self.progress)
        time.sleep(seconds)
        seen = self.progress[max(0, first - 1) :]
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0]) if len(seen) > 1 else 0.0


@contextmanager
def trainer(folder: Path, options: Sequence[str]) -> Iterator[Training]:
    """An agent that trains the demo's model on as many threads as there are cores."""
    cell = Cell(folder)
    try:
        environment = {"OMP_NUM_THREADS": str(CORES)}
        device = cell.add(Device("laptop", folder / "home", ("--no-mdns", *options), environment=environment))
        write_project(folder / "project")
        (folder / "project" / "cellmind.json").write_text(json.dumps(LONG))
        watcher = device.start_ctl("train", "--json", "--yes", cwd=folder / "project")
        assert watcher.stdout
        training = Training()
        following = threading.Thread(target=training.follow, args=(watcher.stdout,))
        following.start()
        assert training.has_begun.wait(60), watcher.poll()
        yield training
        watcher.kill()
        watcher.wait()
        following.join()
    finally:
        cell.close()


class Program:
    """A person's program on all cores, and a ticker, in processes of a session of their own."""

    def __init__(self, ends: Sequence[Connection], ticker: Connection) -> None:
        self._ends, self._ticker = ends, ticker

    def measure(self) -> dict[str, float]:
        """Rounds of work a second, and how late the ticker wakes in milliseconds, over MEASURED_SECONDS."""
        self._ask()
        time.sleep(MEASURED_SECONDS)
        rates, late = self._ask()
        return {"rate": sum(rates), "late_p50": late["p50"], "late_p95": late["p95"], "late_worst": late["worst"]}

    def _ask(self) -> tuple[list[float], dict[str, float]]:
        for end in (*self._ends, self._ticker):
            end.send(None)
        return [end.recv() for end in self._ends], self._ticker.recv()


@contextmanager
def program() -> Iterator[Program]:
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(CORES + 1)]
    targets = [*[work] * CORES, tick]
    processes = [context.Process(target=t, args=(theirs,)) for t, (_, theirs) in zip(targets, pairs, strict=True)]
    for process in processes:
        process.start()
    ours = [end for end, _ in pairs]
    try:
        for end in ours:
            end.recv()  # it has started
        yield Program(ours[:-1], ours[-1])
    finally:
        for process in processes:
            process.terminate()
            process.join()


def work(end: Connection) -> None:
    """Count rounds of work; at each message answer with rounds a second since the last one."""
    os.setsid()
    end.send(None)
    rounds, since = 0, time.monotonic()
    while True:
        sum(range(20_000))
        rounds += 1
        if end.poll():
            end.recv()
            end.send(rounds / (time.monotonic() - since))
            rounds, since = 0, time.monotonic()


def tick(end: Connection) -> None:
    """Sleep again and again; at each message answer with the spread of the delays since the last one."""
    os.setsid()
    end.send(None)
    late: list[float] = []
    while True:
        started = time.monotonic()
        time.sleep(TICK_SECONDS)
        late.append(1000 * (time.monotonic() - started - TICK_SECONDS))
        if end.poll():
            end.recv()
            end.send(spread(late))
            late = []


# -- 2. the trainer's environment --------------------------------------------------------------------------------------


def with_and_without_variables() -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as name:
        folder = make_shards(Path(name))
        for _ in range(TURNS):
            found["without"].append(run_steps(folder, {}))
            found["with"].append(run_steps(folder, trainer_environment({}, sys.platform)))
    print("\n| variables | tokens/s | lowest and highest turn | page faults a step | resident (MB) | highest |")
    print("|---|---|---|---|---|---|")
    for name, turns in found.items():
        speeds = [turn["tokens_per_second"] for turn in turns]
        middle = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
        print(
            f"| {name} | {middle['tokens_per_second']:,.0f} | {min(speeds):,.0f} to {max(speeds):,.0f} "
            f"| {middle['faults_per_step']:,.0f} | {middle['resident_megabytes']:,.0f} "
            f"| {middle['peak_megabytes']:,.0f} |"
        )
    return found


def make_shards(folder: Path) -> Path:
    """The demo's text as shards, and beside them the manifest and the configuration that `tests.bench.steps` reads."""
    write_project(folder / "project")
    options = TrainingDataOptions(data=(folder / "project" / CORPUS,), seq_len=128)
    made = prepare_training_data(options, folder / "cache", lambda notice: None, lambda done, total: None)
    shards = made.shards[0].parent
    (shards / "manifest.json").write_bytes(to_json(made.manifest))
    (shards / "cellmind.json").write_text(json.dumps(WIDE))
    return shards


def run_steps(folder: Path, variables: Mapping[str, str]) -> dict[str, float]:
    command = (sys.executable, "-m", "tests.bench.steps", str(folder), str(STEPS_SECONDS))
    done = subprocess.run(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
