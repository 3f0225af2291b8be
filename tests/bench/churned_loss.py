"""The held-out loss of a run in which members die and return, beside that of the same run undisturbed.

    python -m tests.bench.churned_loss [--seeds 1,2,3] [--steps 1500] [--every 4] [--json FILE]      needs root

Three devices of a simulated home (links of 100 Mbit/s) train three million characters of LibreOffice's Korean help for
the same steps, twice for each seed. (A text that is learnt by heart would multiply the smallest difference.)
In the second run a device is killed every `--every` committed rounds (a member or the leader, as the seed chooses; not
the one that watches), and started again when the others train on. Steps have equal tokens in both runs, and both are
evaluated at the same steps, so their losses are compared step by step. The target is 1 %.

Prints a table, writes JSON; exits with 1 if a loss differs by more, or a run is not exact (`tests/audit.py`).
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.agents import wait_for
from tests.audit import audit_run
from tests.bench.korean import help_texts
from tests.bench.results import Results
from tests.bench.shards import Shape
from tests.bench.small_run import small_config, write_text
from tests.bench.undisturbed import NAMES, is_at_rest, start_cell
from tests.lab.home import Home, LabDevice
from tests.watcher import CommandEndedError, Event, Watcher, has_trained, member_names, start_training

SHAPE = Shape(d_model=64, nhead=4, num_layers=2, vocab_size=4000, seq_len=64, batch_size=24)
LR = 0.001
CHARACTERS = 3_000_000
TARGET = 0.01
_CODE = Path(__file__).parents[2]
_RETURN_SECONDS = 60.0
_ROUND_SECONDS = 60.0  # until the next committed round
_RUN_SECONDS = 3600.0


@dataclass(kw_only=True)
class Run:
    """`losses` by step: of the live weights, in nats a token."""

    losses: dict[int, float] = field(default_factory=dict)
    kills: int = 0
    faults: Sequence[str] = ()
    terms: int = 0

    @property
    def last(self) -> float:
        return self.losses[max(self.losses)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3", metavar="N,...")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--every", type=int, default=4, metavar="ROUNDS")
    parser.add_argument("--round-seconds", type=float, default=2.0, help="0: as a version does that has no such option")
    parser.add_argument("--code", type=Path, default=_CODE, metavar="PATH", help="a checkout that the devices run")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/churned_loss.json"))
    options = parser.parse_args()
    results = Results(options.json)
    with tempfile.TemporaryDirectory() as folder:
        texts = first_characters(help_texts(Path(folder)), CHARACTERS)
    found: dict[int, tuple[Run, Run]] = {}
    for seed in map(int, options.seeds.split(",")):
        with tempfile.TemporaryDirectory() as folder, Home(Path(folder) / "homes", link="100mbit") as home:
            devices = start_cell(home, options.code)
            project = help_project(Path(folder), texts, seed, options.steps, options.round_seconds)
            runs = [train(devices, project, seed, every) for every in (0, options.every)]
            found[seed] = (runs[0], runs[1])
    report(found, results)
    is_good = all(
        not one.faults and not other.faults and largest(one, other) <= TARGET for one, other in found.values()
    )
    return 0 if is_good else 1


def help_project(folder: Path, texts: Sequence[str], seed: int, steps: int, round_seconds: float) -> Path:
    config = small_config(SHAPE, round_seconds, seed=seed, max_steps=steps, lr=LR)
    return write_text(folder / "project", texts, config)


def first_characters(texts: Sequence[str], count: int) -> list[str]:
    """Whole texts, until there are so many characters."""
    sums = itertools.accumulate(map(len, texts))
    return [text for text, total in zip(texts, sums, strict=True) if total <= count]


def train(devices: Sequence[LabDevice], project: Path, seed: int, every: int) -> Run:
    """One run to its end. `every` 0: nobody is killed."""
    wait_for(lambda: is_at_rest(devices[0]), 60, "all to be online and free")
    chance, run = random.Random(seed), Run()
    with start_training(devices[0], project) as watcher:
        after = watcher.wait_for_members(len(NAMES), 180).at
        while every and not watcher.of_kind("finished"):
            try:
                after = kill_and_return(watcher, chance.choice(devices[1:]), every, after)
                run.kills += 1
            except CommandEndedError:
                if watcher.of_kind("finished"):  # the run ended in between
                    break
                raise
        finished = watcher.wait_for_kind("finished", _RUN_SECONDS)
        run.losses = {event["step"]: event["val_loss"] for event in watcher.events if is_evaluated(event)}
    for device in devices:  # one may be down at the end
        if device.process and device.process.poll() is not None:
            device.start()
    homes = {device.name: device.home for device in devices}
    audit = audit_run(homes, finished["run"], finished["step"], SHAPE.batch_size, set(NAMES) if every else set())
    run.faults, run.terms = audit.faults, len({record.term for record in audit.lineage})
    return run


def kill_and_return(watcher: Watcher, device: LabDevice, every: int, after: float) -> float:
    """After some rounds kill the device; when the others have committed one, start it, and wait for one with it.

    Returns when that was. Raises CommandEndedError when the run ends meanwhile.
    """
    for _ in range(every):
        after = next_round(watcher, after, len(NAMES))
    device.power_cut()
    killed = time.monotonic()
    next_round(watcher, killed, len(NAMES) - 1)
    device.start()
    back = watcher.wait(
        f"{device.name} to train again",
        lambda event: event.kind == "finished" or (has_trained(event) and device.name in member_names(event)),
        _RETURN_SECONDS,
        time.monotonic(),
    )
    if back.kind == "finished":
        raise CommandEndedError("the run has finished")
    return back.at


def next_round(watcher: Watcher, after: float, least: int) -> float:
    """When the next round of at least so many members was committed."""

    def is_wanted(event: Event) -> bool:
        return event.kind == "finished" or (event.at > after and has_trained(event) and len(event["members"]) >= least)

    found = watcher.wait("a committed round", is_wanted, _ROUND_SECONDS, after)
    if found.kind == "finished":
        raise CommandEndedError("the run has finished")
    return found.at


def is_evaluated(event: Event) -> bool:
    return event.kind == "round_committed" and event["val_loss"] is not None


def largest(undisturbed: Run, churned: Run) -> float:
    """The largest relative difference of the losses at equal steps."""
    steps = undisturbed.losses.keys() & churned.losses.keys()
    return max(abs(churned.losses[step] / undisturbed.losses[step] - 1) for step in steps)


def report(found: Mapping[int, tuple[Run, Run]], results: Results) -> None:
    rows = {
        f"seed {seed}": {
            "steps": max(one.losses),
            "kills": other.kills,
            "terms": other.terms,
            "undisturbed": one.last,
            "churned": other.last,
            "difference": other.last / one.last - 1,
            "largest": largest(one, other),
            "exact": not one.faults and not other.faults,
        }
        for seed, (one, other) in found.items()
    }
    values = {f"seed {seed}": [run.losses for run in runs] for seed, runs in found.items()}
    results.save(rows, values, faults={seed: [run.faults for run in runs] for seed, runs in found.items()})
    print(f"\nthree devices, links of 100 Mbit/s, {results.about()}")
    print("| seed | steps | kills | undisturbed | with churn | difference | largest at any step | exact |")
    print("|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        figures = "{steps:,} | {kills} | {undisturbed:.4f} | {churned:.4f} | {difference:+.3%} | {largest:.3%}"
        exact = "yes" if row["exact"] else "no"
        print(f"| {name.removeprefix('seed ')} | {figures.format(**row)} | {exact} |")


if __name__ == "__main__":
    sys.exit(main())
