"""When devices are killed and started again in `tests.bench.churn`, and what those that are up can compute."""

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A device is killed `at` seconds after the clock starts, and started again at `back`."""

    at: float
    back: float
    name: str


def schedule(seconds: float, every: float, down: float, names: Sequence[str], chance: random.Random) -> list[Kill]:
    """Kills of devices that are up, with exponential times between them; the last device that is up is left."""
    kills: list[Kill] = []
    at = chance.expovariate(1 / every)
    while at < seconds:
        off = {kill.name for kill in kills if kill.back > at}
        up = [name for name in names if name not in off]
        if len(up) > 1:
            kills.append(Kill(at=at, back=at + down, name=chance.choice(up)))
        at += chance.expovariate(1 / every)
    return kills


def capacity(kills: Sequence[Kill], seconds: float, num_devices: int, alone: float, together: float) -> float:
    """The tokens that the devices which are up can compute in these seconds."""
    moments = sorted({0.0, seconds, *(t for kill in kills for t in (kill.at, kill.back) if t < seconds)})
    total = 0.0
    for start, stop in itertools.pairwise(moments):
        up = num_devices - sum(kill.at <= start < kill.back for kill in kills)
        total += (stop - start) * min(up * alone, together)
    return total


def play(kills: Sequence[Kill], seconds: float, kill: Callable[[str], None], back: Callable[[str], None],
         meanwhile: Callable[[], None]) -> None:  # fmt: skip
    """Carry out the schedule from now on. `meanwhile` is called often."""
    started = time.monotonic()
    deeds = sorted([(one.at, kill, one.name) for one in kills] + [(one.back, back, one.name) for one in kills], key=at)
    for moment, deed, name in deeds:
        while time.monotonic() - started < min(moment, seconds):
            meanwhile()
            time.sleep(_POLL_SECONDS)
        if moment < seconds:
            deed(name)
    while time.monotonic() - started < seconds:
        meanwhile()
        time.sleep(_POLL_SECONDS)


def at(deed: tuple[float, Callable[[str], None], str]) -> float:
    return deed[0]
