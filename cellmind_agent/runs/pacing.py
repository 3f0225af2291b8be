"""Starts trainers, and lets each take only what the person who uses this device can spare (`planning/politeness`)."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cellmind_agent.config import Politeness
from cellmind_agent.device.power import Power
from cellmind_agent.device.vitals import Load, read_load
from cellmind_agent.planning.politeness import Allowance, Pressure, allowance, others_cores
from cellmind_agent.protocol.limits import PRESSURE_SECONDS, REST_SECONDS
from cellmind_agent.protocol.messages import TrainingLimit
from cellmind_agent.runs.environment import trainer_environment
from cellmind_agent.runs.process import ChildFailedError, ChildProcess, Hear, Serve, start_child
from model.line.pace import PaceChanged
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)


class Pacing:
    """Owns the allowance of this device's trainer."""

    def __init__(self, settings: Politeness, power: Callable[[], Power]) -> None:
        self._settings, self._power = settings, power
        self._allowance = Allowance()
        self._following: asyncio.Task[None] | None = None

    def limit(self, power: Power) -> TrainingLimit | None:
        """Why the trainer takes less than it could; without a trainer, why one would have to rest. None: no limit."""
        if self._following is None or self._following.done():
            # A device that has left a run because of its heat comes back when it is cooler (hysteresis).
            self._allowance = allowance(_pressure(power), self._settings, self._allowance)
            if not self._allowance.is_paused:
                return None
        allowed = self._allowance
        return None if allowed.why is None else TrainingLimit(why=allowed.why, is_paused=allowed.is_paused)

    @property
    def why_paused(self) -> Sentence | None:
        """Why the trainer rests now. None: it does not."""
        return self._allowance.why if self._allowance.is_paused else None

    async def start_trainer(self, folder: Path, members_here: int, serve: Serve, hear: Hear) -> ChildProcess:
        """A trainer whose pace is set until it ends. `members_here` members of its run share this machine.

        The other arguments, and the errors, are those of `start_child`.
        """
        environment = trainer_environment(os.environ, sys.platform)
        child = await start_child("train", folder, serve, hear, environment, self._settings.nice)
        self._allowance = Allowance()
        self._following = asyncio.create_task(self._follow(child, members_here), name="pace of the trainer")
        return child

    async def _follow(self, child: ChildProcess, members_here: int) -> None:
        """Read, decide and report until the child ends."""
        ended = asyncio.create_task(child.ended())
        clock = asyncio.get_running_loop().time
        load, read_at = None, clock()
        sent = PaceChanged()
        try:
            while not ended.done():
                before, before_at, load, read_at = load, read_at, read_load(child.pid), clock()
                others = _others_cores(before, load, read_at - before_at)
                usable_cores = max(1, load.usable_cores // members_here)  # as trainers on one machine divide the cores
                self._decide(_pressure(self._power(), usable_cores, load.cores, others))
                pace = self._pace()
                if pace != sent:
                    await child.report(pace)
                    sent = pace
                await asyncio.wait({ended}, timeout=PRESSURE_SECONDS)
        except ChildFailedError:  # it has ended
            pass
        finally:
            ended.cancel()

    def _decide(self, pressure: Pressure) -> None:
        previous, self._allowance = self._allowance, allowance(pressure, self._settings, self._allowance)
        if self._allowance.why != previous.why:
            _log.info("training here: %s", self._allowance.why or "no limit any more")

    def _pace(self) -> PaceChanged:
        return PaceChanged(
            threads=self._allowance.threads,
            rest_seconds=REST_SECONDS if self._allowance.is_paused else 0.0,
            memory_bytes=self._settings.max_memory_bytes,
        )


def _pressure(power: Power, usable_cores: int = 1, cores: int = 1, others: float | None = None) -> Pressure:
    return Pressure(
        usable_cores=usable_cores,
        cores=cores,
        others_cores=others,
        temperature_celsius=power.temperature.value if power.temperature else None,
        battery=power.battery,
        is_battery_hidden=power.is_battery_hidden,
    )


def _others_cores(before: Load | None, now: Load, elapsed_seconds: float) -> float | None:
    """The cores that other programs used between two readings. The first reading says nothing."""
    if before is None or before.busy_seconds is None or now.busy_seconds is None:
        return None
    own_seconds = now.own_seconds - before.own_seconds
    return others_cores(now.busy_seconds - before.busy_seconds, own_seconds, elapsed_seconds)
