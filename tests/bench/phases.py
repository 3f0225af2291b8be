"""When a fault of `tests.bench.faults` strikes: in a wanted phase of a run, at a moment that the seed chooses.

The events of the run show its phases; what no event shows (a member that prepares, pushes, commits or writes a
checkpoint) is seen on the device's disk or in its list of processes.
"""

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab.home import LabDevice
from tests.watcher import Watcher, has_trained

_POLL_SECONDS = 0.001
_PHASE_SECONDS = 40.0  # the longest wait for a phase to begin
_EARLY_ROUNDS = 2  # before the fault, so that a speed has been measured


def wait_for_phase(phase: str, watcher: Watcher, victim: LabDevice, joiner: LabDevice, chance: random.Random) -> bool:
    """Return within the phase; False if it was over, or was never seen. `joining` starts the agent of `joiner`."""
    match phase:
        case "pushing":
            place = victim.home / "blobs" / "partial"
            is_seen = _until(lambda: _files(place) or watcher.of_kind("round_started"))
            time.sleep(chance.uniform(0, 0.2))
            return is_seen and not watcher.of_kind("round_started")
        case "joining":
            _wait_for_rounds(watcher)
            joiner.start()
            is_seen = _until(joiner.trainers)
            time.sleep(chance.uniform(0, 2.0))
            joined = [event for event in watcher.of_kind("member_joined") if event["name"] == joiner.name]
            return is_seen and not joined
        case "training":
            _wait_for_rounds(watcher)
            watcher.wait_for_kind("round_started", _PHASE_SECONDS, time.monotonic())
            time.sleep(chance.uniform(0, 1.0))
            return True
        case "committing":
            _wait_for_rounds(watcher)
            before = _version(victim.home / "runs" / watcher.run / "run.json")
            is_seen = _until(lambda: _version(victim.home / "runs" / watcher.run / "run.json") != before)
            time.sleep(chance.uniform(0, 0.02))
            return is_seen
        case "checkpointing":
            watcher.wait_for_kind("round_started", _PHASE_SECONDS)
            place = victim.home / "runs" / watcher.run / "checkpoints"
            is_seen = _until(lambda: _files(place) or watcher.of_kind("checkpoint"))
            time.sleep(chance.uniform(0, 0.02))
            return is_seen and not watcher.of_kind("checkpoint")
    raise ValueError(f"no phase is called {phase!r}")


def _wait_for_rounds(watcher: Watcher) -> None:
    watcher.wait("some rounds", lambda event: has_trained(event) and event["round"] >= _EARLY_ROUNDS, 60.0)


def _until(is_true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + _PHASE_SECONDS
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _files(folder: Path) -> bool:
    return folder.exists() and any(folder.iterdir())


def _version(file: Path) -> tuple[int, int]:
    """It differs after each new writing of the file."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns
