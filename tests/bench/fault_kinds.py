"""The faults of `tests.bench.faults`: how each begins on a device of a simulated home, and how it ends."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.lab.home import Home, LabDevice

SLOW_CORES = 0.1  # one trainer of one thread uses a whole core at most
CLOCK_SECONDS = 3600.0
OTHER_VERSION = 99
_LIMITS = Path("cellmind_agent/protocol/limits.py")
_FILLER = "filler"

PHASES = ("idle", "joining", "pushing", "training", "committing", "checkpointing")
WITH_A_TRAINER = frozenset({"joining", "training", "committing", "checkpointing"})
WITH_A_RUN = frozenset(PHASES) - {"idle"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault happens."""

    home: Home
    device: LabDevice
    signals: Path  # the folder that LAB_FAULTS names on this device
    code: Path  # the checkout that the devices run
    other_version: Path  # an empty folder, for a copy of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`holds`: it lasts for a fixed time; else it ends when the others train again. A fault with neither `end` nor
    `holds` needs nothing to end: the device returns by itself."""

    name: str
    begin: Callable[[Place], None]
    end: Callable[[Place], None] | None = None
    strikes: Literal["member", "leader"] = "member"
    holds: bool = False
    phases: Set[str] = field(default=frozenset(PHASES))


def kill_device(place: Place) -> None:
    place.device.power_cut()


def switch_on(place: Place) -> None:
    place.device.start()


def kill_trainer(place: Place) -> None:
    for process in place.device.trainers():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def close_lid(place: Place) -> None:
    place.device.lid_closes()


def open_lid(place: Place) -> None:
    place.device.lid_opens()


def say_goodbye(place: Place) -> None:
    """What `systemctl stop` does; the exit code is not judged here."""
    assert place.device.process
    place.device.process.terminate()
    place.device.process.wait(30)


def pull_cable(place: Place) -> None:
    place.home.network.set_cable(place.device.name, is_in=False)


def put_cable_in(place: Place) -> None:
    place.home.network.set_cable(place.device.name, is_in=True)


def drop_what_it_sends(place: Place) -> None:
    place.home.network.half_open(place.device.name)


def heal(place: Place) -> None:
    place.home.network.heal()


def put_clock_forward(place: Place) -> None:
    (place.signals / "clock").write_text(str(CLOCK_SECONDS))


def put_clock_back(place: Place) -> None:
    (place.signals / "clock").unlink()


def fill_disk(place: Place) -> None:
    with open(place.device.home / _FILLER, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def empty_disk(place: Place) -> None:
    (place.device.home / _FILLER).unlink()


def slow_down(place: Place) -> None:
    place.device.set_cpu(SLOW_CORES)


def speed_up(place: Place) -> None:
    place.device.set_cpu(None)


def spoil_a_weight(place: Place) -> None:
    (place.signals / "nan").touch()


def restart_as_another_version(place: Place) -> None:
    """The same device with a program that speaks another version of the protocol, as after an update."""
    copy = place.other_version
    for package in ("cellmind_agent", "model"):
        shutil.copytree(place.code / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / _LIMITS).read_text(encoding="utf-8")
    changed = text.replace("PROTOCOL_VERSION: Final = 1 ", f"PROTOCOL_VERSION: Final = {OTHER_VERSION} ")
    assert changed != text
    (copy / _LIMITS).write_text(changed, encoding="utf-8")
    say_goodbye(place)
    place.device.paths = (copy, *place.device.paths)
    place.device.start()


def restart_as_this_version(place: Place) -> None:
    say_goodbye(place)
    place.device.paths = place.device.paths[1:]
    shutil.rmtree(place.other_version)
    place.device.start()


FAULTS = (
    Fault(name="killed", begin=kill_device, end=switch_on),
    Fault(name="trainer killed", begin=kill_trainer, phases=WITH_A_TRAINER),
    Fault(name="frozen", begin=close_lid, end=open_lid, holds=True),
    Fault(name="goodbye", begin=say_goodbye, end=switch_on),
    Fault(name="cable out", begin=pull_cable, end=put_cable_in, holds=True),
    Fault(name="half-open TCP", begin=drop_what_it_sends, end=heal, holds=True),
    Fault(name="clock an hour ahead", begin=put_clock_forward, end=put_clock_back),
    Fault(name="disk full", begin=fill_disk, end=empty_disk),
    Fault(name="slow to a tenth", begin=slow_down, end=speed_up),
    Fault(name="NaN", begin=spoil_a_weight, phases=WITH_A_TRAINER - {"joining"}),
    Fault(name="other version", begin=restart_as_another_version, end=restart_as_this_version),
    Fault(name="leader killed", begin=kill_device, end=switch_on, strikes="leader", phases=WITH_A_RUN),
    Fault(name="leader frozen", begin=close_lid, end=open_lid, strikes="leader", holds=True, phases=WITH_A_RUN),
    Fault(name="leader's goodbye", begin=say_goodbye, end=switch_on, strikes="leader", phases=WITH_A_RUN),
)
