"""A run of three devices, struck by each kind of fault in each phase: does it go on, how soon, and is it exact?

    python -m tests.bench.faults [--repeat 20] [--faults NAME,...] [--phases NAME,...] [--add] [--json FILE]

Needs root. All of it takes about 40 minutes for each repetition: --add continues what --json holds, and --minutes ends
it before another fault.

For each fault and phase:

1. Three devices of a simulated home (100 Mbit/s each) train a small model. A command on a device that stays watches.
2. In the phase, at a moment that the seed chooses, the fault strikes a member, or the leader. It lasts until the others
   train again, or `--hold` seconds where its kind lasts (frozen, cable out, half-open).
3. When the fault has ended and the device takes part again, the run is stopped, and audited (`tests/audit.py`).

Times: "train again" is from the fault to the start of the next round that was committed; before the first round it
includes the start of the run, and in the phase `idle` (a fault before the run) it counts from the command `train`.
"back" is from the end of the fault to the device's `member_joined`; a round with it must be committed too. "redone" are
tokens of rounds that were begun and not committed, as far as the run's progress showed them (twice a second), and of
committed rounds that were discarded. Prints a table, writes JSON; exits with 1 if a run did not go on or is not exact.
The agents' logs of such a run, of a slow one, and of one in which anything else went wrong, are kept in a folder beside
the JSON.
"""

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.agents import Device, wait_for
from tests.audit import audit_run
from tests.bench.fault_kinds import FAULTS, PHASES, Fault, Place
from tests.bench.fault_report import Outcome, read_outcomes, report, save, show
from tests.bench.phases import wait_for_phase
from tests.bench.results import Results, keep_logs
from tests.bench.shards import Shape
from tests.bench.small_run import random_texts, small_config, write_text
from tests.integration.test_run import TEXTS
from tests.lab.home import Home, LabDevice, peers_of
from tests.watcher import CommandEndedError, Event, Watcher, has_trained, member_names, start_training

NAMES = ("one", "two", "three")
SHAPE = Shape(d_model=32, nhead=4, num_layers=2, vocab_size=500, seq_len=32, batch_size=12)
_INSIDE = Path(__file__).parents[1] / "lab" / "inside"
_CODE = Path(__file__).parents[2]
_DISK_BYTES = 512 << 20  # the agent keeps 256 MB free
_RECOVERY_SECONDS = 90.0
_SLOW_SECONDS = 30.0  # somebody waited in vain
_LATEST_SECONDS = 60.0  # a device that is not back by then does not come back
_PUSHED_LINES = 40_000  # about 6 MB of shards: half a second on the link


@dataclass(kw_only=True)
class Options:
    hold: float
    round_seconds: float
    code: Path
    seed: int
    logs: Path
    mode: str


def main() -> int:
    options = arguments()
    results = Results(options.json)
    outcomes = read_outcomes(options.json) if options.add else []
    deadline = time.monotonic() + 60 * options.minutes
    chosen = Options(
        hold=options.hold,
        round_seconds=options.round_seconds,
        code=options.code.absolute(),
        seed=options.seed,
        logs=options.json.with_suffix(""),
        mode=options.mode,
    )
    for turn in range(options.repeat):
        for fault in (fault for fault in FAULTS if not options.faults or fault.name in options.faults.split(",")):
            done = {(one.phase, one.seed) for one in outcomes if one.fault == fault.name}
            phases = [phase for phase in PHASES if not options.phases or phase in options.phases.split(",")]
            left = [one for one in phases if one in fault.phases and (one, seed_of(options.seed, turn)) not in done]
            if left and time.monotonic() < deadline:
                outcomes += strike_in_all(fault, left, turn, chosen)
                save(outcomes, results)
    report(outcomes, results)
    return 0 if all(outcome.went_on and outcome.is_exact for outcome in outcomes) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=1, metavar="N")
    parser.add_argument("--faults", metavar="NAME,...", help=", ".join(fault.name for fault in FAULTS))
    parser.add_argument("--phases", metavar="NAME,...", help=", ".join(PHASES))
    parser.add_argument("--hold", type=float, default=30.0, metavar="SECONDS")
    parser.add_argument("--round-seconds", type=float, default=1.0, help="0: as a version does that has no such option")
    parser.add_argument("--code", type=Path, default=_CODE, metavar="PATH", help="a checkout that the devices run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mode", choices=("ddp", "local"), default="ddp")
    parser.add_argument("--add", action="store_true", help="keep what the JSON file holds, and do what it lacks")
    parser.add_argument("--minutes", type=float, default=1e6)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/faults.json"))
    return parser.parse_args()


# -- one home ----------------------------------------------------------------------------------------------------------


def strike_in_all(fault: Fault, phases: Sequence[str], turn: int, options: Options) -> Iterator[Outcome]:
    """One run for each phase. They share a home as long as nothing goes wrong in it."""
    left = list(phases)
    while left:
        with tempfile.TemporaryDirectory() as folder, Home(Path(folder) / "homes", link="100mbit") as home:
            stage = Stage(home, Path(folder), fault, options)
            while left and not stage.is_spoilt:
                outcome = stage.play(left.pop(0), turn)
                print(show(outcome), flush=True)
                yield outcome


class Stage:
    """A home in which runs are struck by one kind of fault."""

    def __init__(self, home: Home, folder: Path, fault: Fault, options: Options) -> None:
        self.home, self.folder, self.fault, self.options = home, folder, fault, options
        self.is_spoilt = False
        devices = []
        for name in NAMES:
            (folder / f"signals-{name}").mkdir()
            device = home.device(
                name,
                disk_bytes=_DISK_BYTES,
                environment={"LAB_FAULTS": str(folder / f"signals-{name}")},
                paths=(_INSIDE, options.code),
                has_probed_gloo=True,
            )
            devices.append(device)
        home.cell.paired(list(devices))

    def play(self, phase: str, turn: int) -> Outcome:
        """One run. After an error the stage is spoilt."""
        outcome = Outcome(fault=self.fault.name, phase=phase, seed=seed_of(self.options.seed, turn))
        chance = random.Random(f"{outcome.seed}-{self.fault.name}-{phase}")
        try:
            project = write_project(self.folder / "project", phase, self.options.round_seconds, chance)
            self._play(outcome, project, chance)
            if not self.is_spoilt:
                self._clean_up(project)
        except (AssertionError, OSError, RuntimeError, KeyError) as error:
            outcome.error, self.is_spoilt = f"{outcome.error} {type(error).__name__}: {error}".strip()[:900], True
        is_slow = (outcome.recovery_seconds or 0.0) > _SLOW_SECONDS
        if outcome.error or is_slow or not outcome.is_exact:
            keep_logs(self._homes(), self.options.logs / f"{outcome.fault}, {outcome.phase}, {outcome.seed}")
        return outcome

    def _play(self, outcome: Outcome, project: Path, chance: random.Random) -> None:
        leader, second, observer = self._cast(project)
        victim, joiner = (second if self.fault.strikes == "member" else leader), second
        place = self._place(victim)
        if outcome.phase == "idle":
            self.fault.begin(place)
            time.sleep(chance.uniform(0, 2.0))
            outcome.hit = True
        elif outcome.phase == "joining":
            joiner.stop()
            wait_for(lambda: _state(observer, joiner.name) != "online", 20, "the joiner to be off")
        with start_training(observer, project, "--mode", self.options.mode) as watcher:
            struck = time.monotonic()
            planned = [member["name"] for member in watcher.wait_for_kind("plan", 120)["roster"]]
            if planned[0] != leader.name:
                raise RuntimeError("another device leads than was planned: run this cell again")
            if outcome.phase != "idle":
                outcome.hit = wait_for_phase(outcome.phase, watcher, victim, joiner, chance)
                struck = time.monotonic()
                self.fault.begin(place)
            try:
                self._follow(outcome, watcher, struck, place)
            except CommandEndedError as error:  # what has been trained is audited all the same
                outcome.error, self.is_spoilt = f"{error} {watcher.errors}"[:600], True
            if outcome.went_on:
                self._finish(outcome, watcher, observer, victim.name, struck)

    def _cast(self, project: Path) -> tuple[LabDevice, LabDevice, LabDevice]:
        """In the order of the next run's roster: its leader, a member, and the device that watches."""
        planned = next(iter(self.home.devices.values())).ctl(
            "plan", "--json", "--all", "--mode", "ddp", cwd=project, timeout=120
        )
        leader, second, observer = (self.home.devices[member["name"]] for member in planned.data["roster"])
        return leader, second, observer

    def _place(self, victim: LabDevice) -> Place:
        signals = self.folder / f"signals-{victim.name}"
        other = self.folder / "other-version"
        return Place(home=self.home, device=victim, signals=signals, code=self.options.code, other_version=other)

    def _follow(self, outcome: Outcome, watcher: Watcher, struck: float, place: Place) -> None:
        """From the fault until the device takes part again."""
        name = place.device.name
        # 1. The others train again.
        started: list[Event] = []
        committed = watcher.wait("the others to train again", begun_after(struck, started), _RECOVERY_SECONDS)
        outcome.went_on = True
        outcome.recovery_seconds = started[-1].at - struck
        # 2. The fault ends.
        ended = struck
        if self.fault.end:
            time.sleep(max(0.0, struck + self.options.hold - time.monotonic()) if self.fault.holds else 1.0)
            latest = watcher.of_kind("round_committed")[-1]
            self.fault.end(place)
            ended = time.monotonic()
        else:
            latest = committed
        outcome.was_out = name not in member_names(latest)
        # 3. The device takes part again.
        if outcome.was_out:
            lost = [event.at for event in watcher.of_kind("member_lost") if event["name"] == name]
            joined = watcher.wait("its return", is_return_of(name), _LATEST_SECONDS, max([struck, *lost]))
            outcome.back_seconds = max(0.0, joined.at - ended)
            watcher.wait(
                "a committed round with it",
                lambda event: has_trained(event) and name in member_names(event),
                _LATEST_SECONDS,
                joined.at,
            )

    def _finish(self, outcome: Outcome, watcher: Watcher, observer: Device, victim: str, struck: float) -> None:
        """Stop the run, and audit it."""
        stopped = observer.ctl("stop", watcher.run)
        assert stopped.code == 0, stopped
        finished = watcher.wait_for_kind("finished")
        audit = audit_run(self._homes(), watcher.run, finished["step"], SHAPE.batch_size, {victim})
        outcome.audit_faults, outcome.is_exact = audit.faults, audit.is_exact
        outcome.discarded_rounds = len(audit.discarded)
        outcome.redone_tokens = redone_tokens(watcher.events, struck) + audit.discarded_tokens

    def _homes(self) -> dict[str, Path]:
        return {name: device.home for name, device in self.home.devices.items()}

    def _clean_up(self, project: Path) -> None:
        """Wait until the home is as it was. A device that is not is an error."""
        shutil.rmtree(project)
        for device in self.home.devices.values():
            wait_for(lambda device=device: _is_at_rest(device), 30, f"{device.name} to rest")  # type: ignore[misc]


def _state(device: Device, name: str) -> object:
    return peers_of(device).get(name, {}).get("state")


def _is_at_rest(device: Device) -> bool:
    peers = peers_of(device).values()
    return len(peers) == len(NAMES) and all(peer["state"] == "online" and peer["run"] is None for peer in peers)


def seed_of(seed: int, turn: int) -> str:
    """The seed of one repetition."""
    return f"{seed}-{turn}"


# -- what is trained, and what happened --------------------------------------------------------------------------------


def write_project(folder: Path, phase: str, round_seconds: float, chance: random.Random) -> Path:
    """A small model and an endless run. To be pushed, the text is new and large enough to take time on the links."""
    texts = random_texts(_PUSHED_LINES, chance) if phase == "pushing" else TEXTS * 4
    return write_text(folder, texts, small_config(SHAPE, round_seconds))


def begun_after(moment: float, started: list[Event]) -> Callable[[Event], bool]:
    """True for the first committed round that began after the moment; its start is the last one in `started`."""

    def is_wanted(event: Event) -> bool:
        if event.kind == "round_started" and event.at >= moment:
            started.append(event)
        return bool(started) and has_trained(event)

    return is_wanted


def is_return_of(name: str) -> Callable[[Event], bool]:
    return lambda event: event.kind == "member_joined" and event["name"] == name


def redone_tokens(events: Sequence[Event], since: float) -> int:
    """The tokens of rounds that were begun again, as far as progress showed them."""
    redone = committed = shown = 0
    for event in events:
        if event.kind == "progress":
            shown = event["tokens"]
        elif event.kind == "round_committed":
            committed = shown = event["tokens"]
        elif event.kind == "round_started" and event.at >= since:
            redone += max(0, shown - committed)
            shown = committed
    return redone


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
