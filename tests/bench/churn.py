"""Goodput while devices die and return all the time, beside that of `torchrun` with elastic restarts.

    python -m tests.bench.churn [--minutes 20] [--every 30] [--down 10] [--seed 1] [--ways NAME,...]     needs root

Four devices of a simulated home train one network. Kills are a Poisson process, one every `--every` seconds on average:
every process of a device is killed, and `--down` seconds later the device is started again. The last device that is up
is never killed. A fifth device starts the run, watches it, and is not killed. The agents of the four are started with
`--resume-on-boot`: two kills in a row may strike all devices that hold the state.

Goodput is what was trained and counts, over what the devices that were up could have computed meanwhile. Before the
churn each way is measured without exchange: one device alone, and all four at the same time, each for itself, because
all share the processors of this machine. k devices that are up can compute k times what one can alone, and at most what
all four can at the same time. Then the run itself is measured with all four and without a kill. From then on the clock
runs to the end of the schedule; what CellMind has not committed by then does not count.

Ways: `cellmind`, audited at its end (`tests/audit.py`); `torchrun`, with the same kills; and `torchrun, host spared`,
its best case: the device with its rendezvous is never killed (those kills strike nobody). Prints a table, writes JSON
and, in a folder beside it, the agents' logs.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.agents import wait_for
from tests.audit import audit_run, newest_committed
from tests.bench.elastic import PROGRESS, ElasticRun, Noted, noted, worker_alone
from tests.bench.kills import Kill, capacity, play, schedule
from tests.bench.results import Results, keep_logs
from tests.bench.shards import Shape
from tests.bench.small_run import random_texts, small_config, write_text
from tests.lab.home import Home, LabDevice, peers_of
from tests.watcher import Watcher, start_training

NAMES = ("one", "two", "three", "four")
SCREEN = "screen"
SHAPE = Shape(d_model=64, nhead=4, num_layers=2, vocab_size=1000, seq_len=64, batch_size=48)
STEPS = ("progress", "round_committed")  # the events that say how far a run is
WAYS = ("cellmind", "torchrun", "torchrun, host spared")
_NUM_TEXTS = 5000
_START_SECONDS = 180.0
_STOP_SECONDS = 120.0


@dataclass(kw_only=True)
class Outcome:
    """One way under churn. Speeds in tokens a second, where a token is a position of a row."""

    alone: float
    together: float
    undisturbed: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    capacity: float = 0.0  # tokens
    kills: int = 0
    finished: bool = False
    is_exact: bool | None = None
    faults: Sequence[str] = ()
    discarded_rounds: int = 0

    @property
    def goodput(self) -> float:
        return self.tokens / self.capacity if self.capacity else 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--down", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--measured", type=float, default=20.0, metavar="SECONDS", help="for each speed before")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", default=";".join(WAYS), metavar="NAME;...", help="of " + "; ".join(WAYS))
    parser.add_argument("--link", default="1gbit")
    parser.add_argument("--agent", default="--resume-on-boot", metavar="OPTIONS", help="of the four agents")
    parser.add_argument("--code", type=Path, default=None, metavar="PATH", help="a checkout that the devices run")
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/churn.json"))
    options = parser.parse_args()
    results = Results(options.json)
    kills = schedule(60 * options.minutes, options.every, options.down, NAMES, random.Random(options.seed))
    found = {}
    for way in options.ways.split(";"):
        with tempfile.TemporaryDirectory() as folder, Home(Path(folder) / "homes", link=options.link) as home:
            if way == "cellmind":
                devices = start_cell(home, options.agent.split(), (options.code.absolute(),) if options.code else ())
                found[way] = cellmind(devices, Path(folder), kills, 60 * options.minutes, options.measured)
                keep_logs({name: home.devices[name].home for name in NAMES}, options.json.with_suffix(""))
            else:
                spared = NAMES[0] if way == WAYS[2] else ""
                struck = [kill for kill in kills if kill.name != spared]
                found[way] = torchrun(home, Path(folder), struck, 60 * options.minutes, options.measured)
        print(f"{way}: {found[way]}", flush=True)
    report(found, options, results)
    return 0 if all(outcome.is_exact is not False for outcome in found.values()) else 1


# -- the product -------------------------------------------------------------------------------------------------------


def start_cell(home: Home, options: Sequence[str], paths: Sequence[Path]) -> list[LabDevice]:
    """The device that watches, and those that train with these options."""
    devices = [home.device(SCREEN, paths=paths, has_probed_gloo=True)]
    devices += [home.device(name, *options, paths=paths, has_probed_gloo=True) for name in NAMES]
    home.cell.paired(list(devices))
    return devices


def cellmind(
    devices: Sequence[LabDevice], folder: Path, kills: Sequence[Kill], seconds: float, measured: float
) -> Outcome:
    screen, *trained = devices
    project = write_text(folder / "project", random_texts(_NUM_TEXTS, random.Random(1)), small_config(SHAPE))
    alone = sum(speeds(screen, project, trained[:1], measured))
    together = sum(speeds(screen, project, trained, measured))
    outcome = Outcome(alone=alone, together=together, kills=len(kills))
    names = {device.name: device for device in trained}
    wait_until_free(screen)
    with start_training(screen, project, "--devices", ",".join(NAMES)) as watcher:
        since = watcher.wait_for_members(len(NAMES), _START_SECONDS).at
        time.sleep(measured)
        outcome.undisturbed = speed_of(watcher, since)
        homes = {n: d.home for n, d in names.items()}
        before, started = newest_committed(homes, watcher.run), time.monotonic()
        play(kills, seconds, lambda name: names[name].power_cut(), lambda name: names[name].launch(), lambda: None)
        outcome.seconds = time.monotonic() - started
        after = newest_committed(homes, watcher.run)
        end(outcome, watcher.run, screen, trained)
        last = newest_committed(homes, watcher.run)
        audit = audit_run(homes, watcher.run, last.step, SHAPE.batch_size, set(NAMES))
    outcome.tokens = (after.step - before.step) * SHAPE.tokens_per_step
    outcome.capacity = capacity(kills, outcome.seconds, len(NAMES), alone, together)
    outcome.is_exact, outcome.faults, outcome.discarded_rounds = audit.is_exact, audit.faults, len(audit.discarded)
    return outcome


def end(outcome: Outcome, run: str, screen: LabDevice, devices: Sequence[LabDevice]) -> None:
    """Switch on what is down, and stop the run, which may have to find a leader first."""
    for device in devices:
        if device.process and device.process.poll() is not None:
            device.start()
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and not outcome.finished:
        if screen.ctl("stop", run).code == 0:
            outcome.finished = ends_as_stopped(devices, run)
        time.sleep(1.0)


def ends_as_stopped(devices: Sequence[LabDevice], run: str) -> bool:
    """Whether a device records so within a minute."""
    files = [device.home / "runs" / run / "run.json" for device in devices]

    def is_stopped() -> bool:
        return any(file.exists() and json.loads(file.read_text())["view"]["state"] == "stopped" for file in files)

    try:
        wait_for(is_stopped, 60, "the run to be stopped")
    except AssertionError:
        return False
    return True


def speeds(screen: LabDevice, project: Path, devices: Sequence[LabDevice], measured: float) -> Iterator[float]:
    """Tokens a second of each device in a run of its own, all at the same time."""
    wait_until_free(screen)
    with ExitStack() as stack:
        watchers = [
            stack.enter_context(start_training(screen, project, "--devices", device.name)) for device in devices
        ]
        for watcher in watchers:
            watcher.wait("a round", lambda event: event.kind == "round_started" and event["round"] >= 2, _START_SECONDS)
        since = time.monotonic()
        time.sleep(measured)
        for watcher in watchers:
            yield speed_of(watcher, since)
        for watcher in watchers:
            screen.ctl("stop", watcher.run)
            watcher.wait_for_kind("finished")


def wait_until_free(screen: LabDevice) -> None:
    """No device takes part in a run."""
    wait_for(lambda: all(peer["run"] is None for peer in peers_of(screen).values()), 60, "all to be free")


def speed_of(watcher: Watcher, since: float) -> float:
    """Between the first and the last report since then."""
    seen = [event for event in watcher.events if event.at >= since and event.kind in STEPS]
    if len(seen) < 2:
        raise RuntimeError("the run made no progress: measure for longer")
    steps = seen[-1]["step"] - seen[0]["step"]
    return float(steps) * SHAPE.tokens_per_step / (seen[-1].at - seen[0].at)


# -- torchrun ----------------------------------------------------------------------------------------------------------


def torchrun(home: Home, folder: Path, kills: Sequence[Kill], seconds: float, measured: float) -> Outcome:
    devices = [home.device(name, is_running=False) for name in NAMES]
    alone = workers_alone(devices[:1], folder / "alone", measured)
    together = workers_alone(devices, folder / "together", measured)
    outcome = Outcome(alone=alone, together=together, kills=len(kills))
    with ElasticRun(devices, folder / "elastic", SHAPE) as run:
        wait_for(lambda: run.latest.ranks == len(NAMES), _START_SECONDS, "all four to train")
        first = run.latest
        time.sleep(measured)
        before = run.latest
        outcome.undisturbed = speed_between(first, before)
        play(kills, seconds, run.kill, run.switch_on, run.supervise)
        outcome.seconds = time.monotonic() - before.at
        outcome.tokens = (run.latest.step - before.step) * SHAPE.tokens_per_step
        outcome.finished = run.latest.at > time.monotonic() - _START_SECONDS / 2
    outcome.capacity = capacity(kills, outcome.seconds, len(NAMES), alone, together)
    return outcome


def workers_alone(devices: Sequence[LabDevice], folder: Path, measured: float) -> float:
    """Tokens a second of all these devices, each of which trains for itself."""
    workers = [worker_alone(device, folder / device.name, SHAPE) for device in devices]
    try:
        files = [folder / device.name / PROGRESS for device in devices]
        wait_for(lambda: all(file.exists() for file in files), _START_SECONDS, "the workers' first steps")
        before = [noted(file) for file in files]
        time.sleep(measured)
        return sum(speed_between(old, noted(file)) for old, file in zip(before, files, strict=True))
    finally:
        for worker, device in zip(workers, devices, strict=True):
            device.power_cut()
            worker.wait()


def speed_between(old: Noted, new: Noted) -> float:
    """Tokens a second."""
    return (new.step - old.step) * SHAPE.tokens_per_step / (new.at - old.at)


# -- the end -----------------------------------------------------------------------------------------------------------


def report(found: dict[str, Outcome], options: argparse.Namespace, results: Results) -> None:
    rows = {way: {**asdict(outcome), "goodput": outcome.goodput} for way, outcome in found.items()}
    results.save(rows, {}, minutes=options.minutes, every=options.every, down=options.down, seed=options.seed)
    print(f"\n{options.minutes:g} minutes, a kill every {options.every:g} s on average, {results.about()}")
    print(
        "| way | kills | tokens/s that count | without a kill | one alone | four at once | goodput | finished | exact |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for way, outcome in found.items():
        exact = "" if outcome.is_exact is None else "yes" if outcome.is_exact else "no"
        print(
            f"| {way} | {outcome.kills} | {outcome.tokens / max(outcome.seconds, 1e-9):,.0f} "
            f"| {outcome.undisturbed:,.0f} | {outcome.alone:,.0f} | {outcome.together:,.0f} | {outcome.goodput:.2f} "
            f"| {'yes' if outcome.finished else 'no'} | {exact} |"
        )


if __name__ == "__main__":
    sys.exit(main())
