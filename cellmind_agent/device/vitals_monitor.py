"""This device's vitals over time: read regularly, and passed on to everyone who watches when they really change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from cellmind_agent.device.power import Power
from cellmind_agent.device.speed import MeasuredSpeeds
from cellmind_agent.device.vitals import differ_noticeably, read_vitals
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import FREE_LOOK_SECONDS, RUN_VITALS_SECONDS, VITALS_SECONDS
from cellmind_agent.protocol.messages import TrainingLimit, Vitals


class VitalsMonitor:
    """Owns the last reading."""

    def __init__(
        self,
        home: Path,
        name: str,
        speed: MeasuredSpeeds,
        power: Callable[[], Power],
        current_run: Callable[[], RunId | None],
        training_limit: Callable[[Power], TrainingLimit | None] = lambda power: None,
    ) -> None:
        """`name` is this device's; `current_run` is the run in which it takes part, `training_limit` what limits
        training on it."""
        self._home, self._name, self._speed, self._power = home, name, speed, power
        self._current_run, self._training_limit = current_run, training_limit
        self._published = self._read()
        self._changed = asyncio.Condition()

    def current(self) -> Vitals:
        """The last reading, with the run, its limit and the speed of this moment."""
        return self._with_run(self._published)

    async def serve(self) -> None:
        """Read and publish until cancelled."""
        while True:
            reading = self._read()
            if differ_noticeably(self._published, reading):
                async with self._changed:
                    self._published = reading
                    self._changed.notify_all()
            await self._pause()

    async def watch(self) -> AsyncIterator[Vitals]:
        """The last published vitals at once, then each change."""
        while True:
            seen = self._published
            yield seen
            async with self._changed:
                while self._published is seen:
                    await self._changed.wait()

    async def _pause(self) -> None:
        """Until the next reading; at once when a run ends, since people may start another one."""
        run = self._current_run()
        if run is None:
            await asyncio.sleep(VITALS_SECONDS)
            return
        end = asyncio.get_running_loop().time() + RUN_VITALS_SECONDS
        while self._current_run() == run and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110 # ends within 1 s
            await asyncio.sleep(FREE_LOOK_SECONDS)

    def _read(self) -> Vitals:
        self._last_power = self._power()
        return self._with_run(replace(read_vitals(self._home, self._last_power), name=self._name))

    def _with_run(self, reading: Vitals) -> Vitals:
        return replace(
            reading,
            run=self._current_run(),
            training_limit=self._training_limit(self._last_power),
            tokens_per_second=self._speed.tokens_per_second,
        )
