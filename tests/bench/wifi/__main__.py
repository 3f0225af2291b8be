"""Devices on one Wi-Fi: CellMind in both modes and alone, and what else trains over a slow network.

    python -m tests.bench.wifi [--devices 3] [--air 35mbit] [--topology shared] [--cores 0.6] [--seconds 240]
                               [--ways NAME;...] [--rates 0.001,0.003,0.01] [--target-loss 4.2]
                               [--hivemind-python PATH] [--json FILE]                                    needs root

Each device of a simulated home has a part of a core (a CPU quota). Either all share the air, one medium of the given
rate for what anybody sends, or each has a cable of that rate to a switch. They train a network of three million
parameters on LibreOffice's Korean help, each way for the same time: the network, the rows and their order, the rows of
a step and the way to compute are the same for all. The ways are in `ways`, their programs in `peers` and
`with_hivemind` (whose docstring says what `--hivemind-python` needs). A peer's clock starts when all its devices are
ready for the first step, CellMind's when all have met. Loss is judged alike for all, in float32 on all held-out rows.

With `--rates` each way first trains for `--trial-seconds` at each of these rates, and then at the best. With
`--target-loss` a run ends when 64 held-out rows have that loss, judged whenever weights are saved (every 30 s, and in
DiLoCo after an outer step); this judging takes part of what the devices leave of the machine.

Prints a table, writes JSON: tokens a second, bytes that the devices sent (counted by the kernel at their network
interfaces) for each token, losses at the end, and idle time as CellMind's members report it in their last round. What
the peers' programs printed is kept in a folder beside the JSON file.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tests.bench.results import Results
from tests.bench.wifi.project import prepare
from tests.bench.wifi.run import Plan, train_peer
from tests.bench.wifi.ways import ONE_THREAD, WAYS, OurWay, PeerWay, Reached, Way, table, with_tuned_rate
from tests.bench.wifi.with_cellmind import switch_off, train_cellmind
from tests.lab.home import Home, LabDevice


def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave the home by its end, which ends all processes
    results = Results(options.json)
    results.warn_if_busy()
    torch.set_num_threads(1)
    found: dict[str, Reached] = {}
    trials: dict[str, list[Reached]] = {}
    network = {"shared": options.air} if options.topology == "shared" else {"link": options.air}
    with tempfile.TemporaryDirectory() as name, Home(Path(name) / "homes", **network) as home:
        folder = Path(name)
        project, plan = prepare(folder, options.seconds, options.seed, options.target_loss, options.hivemind_python)
        names = [f"device{number}" for number in range(options.devices)]
        devices = [home.device(name, cpu=options.cores, environment=ONE_THREAD, has_probed_gloo=True) for name in names]
        home.cell.paired(list(devices))
        course = Course(devices, folder, project, plan, options.json.with_suffix(""))
        for way in options.ways.split(";"):
            lr, trials[way] = WAYS[way].lr, []
            if options.rates:
                rates = [float(rate) for rate in options.rates.split(",")]
                lr, trials[way] = with_tuned_rate(rates, course.trial_of(WAYS[way], options.trial_seconds))
            found[way] = course.run(WAYS[way], lr, plan)
            print(f"{way}: {found[way]}", flush=True)
            save(results, options, found, trials)
    where = f"{options.devices} devices of {options.cores} cores, {options.air} of {options.topology} network"
    print(f"\n{where}, {results.about()}\n{table(found, options.target_loss)}")
    return 1 if any(one.fault for one in found.values()) else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=3)
    parser.add_argument("--air", default="35mbit", metavar="RATE")
    parser.add_argument("--topology", choices=("shared", "switched"), default="shared")
    parser.add_argument("--cores", type=float, default=0.6, help="of each device")
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--target-loss", type=float, default=None, metavar="NATS", help="a run ends when it has it")
    parser.add_argument("--rates", default="", metavar="RATE,...", help="learning rates that each way tries first")
    parser.add_argument("--trial-seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hivemind-python", default="", metavar="PATH", help="without it, hivemind is left out")
    parser.add_argument("--ways", default="", metavar="NAME;...", help="of " + "; ".join(WAYS))
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/wifi.json"))
    options = parser.parse_args()
    has_hivemind = bool(options.hivemind_python)
    options.ways = options.ways or ";".join(way for way in WAYS if has_hivemind or not way.startswith("hivemind"))
    unknown = [way for way in options.ways.split(";") if way not in WAYS]
    if unknown or (not has_hivemind and "hivemind" in options.ways):
        parser.error(f"no way {unknown[0]!r}" if unknown else "hivemind needs --hivemind-python")
    return options


class Course:
    """Runs one way after the other on the same devices. A way that fails is a result, too."""

    def __init__(self, devices: Sequence[LabDevice], folder: Path, project: Path, plan: Plan, logs: Path) -> None:
        self._devices, self._folder, self._project, self._plan, self._logs = devices, folder, project, plan, logs
        self._num_runs = 0

    def run(self, way: Way, lr: float, plan: Plan) -> Reached:
        """One run of a way."""
        self._num_runs += 1
        try:
            if isinstance(way, OurWay):
                return train_cellmind(self._devices, self._project, way, lr, plan)
            switch_off(self._devices)
            return self._train_peer(way, lr, plan)
        except (AssertionError, RuntimeError, OSError) as error:
            print(error, file=sys.stderr, flush=True)
            return Reached(lr=lr, fault=str(error) or repr(error))

    def _train_peer(self, way: PeerWay, lr: float, plan: Plan) -> Reached:
        """Keeps what the programs printed, also of a run that fails."""
        folder = self._folder / f"run{self._num_runs}"
        try:
            return train_peer(self._devices, folder, way, lr, plan)
        finally:
            for screen in folder.glob("*/screen.txt"):
                kept = self._logs / folder.name
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy(screen, kept / f"{screen.parent.name}.txt")

    def trial_of(self, way: Way, seconds: float) -> Callable[[float], Reached]:
        """What trains the way for so long at a given rate."""
        return lambda lr: self.run(way, lr, replace(self._plan, seconds=seconds, target=None))


def save(
    results: Results,
    options: argparse.Namespace,
    found: Mapping[str, Reached],
    trials: Mapping[str, Sequence[Reached]],
) -> None:
    """Write what is known so far: all ways together take hours."""
    results.save(
        {way: one.as_plain() for way, one in found.items()},
        {way: [one.as_plain() for one in some] for way, some in trials.items()},
        devices=options.devices,
        air=options.air,
        topology=options.topology,
        cores=options.cores,
        seconds=options.seconds,
        target=options.target_loss,
        seed=options.seed,
    )


if __name__ == "__main__":
    sys.exit(main())
