"""Battery, charger and heat of this device: read by psutil, or on a phone by Termux:API.

Android hides its sensors from programs. `termux-battery-status` asks the app Termux:API, and prints JSON. It can take
many seconds, and never ends where the app is missing, so it runs beside the agent, with a limit, once a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from cellmind_agent.protocol.limits import POWER_QUERY_SECONDS, POWER_SECONDS
from cellmind_agent.protocol.messages import Battery, Figure

_log = logging.getLogger(__name__)

TERMUX_COMMAND = ("termux-battery-status",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How this device is powered, and how hot it is."""

    battery: Battery | None = None  # None: it has none, or hides it
    is_battery_hidden: bool = False  # there is one, and nothing reports its charge
    temperature: Figure | None = None  # of the hottest sensor, in degrees Celsius


class PowerReader:
    """Owns the last reading of a phone; any other device is read when somebody asks."""

    def __init__(self, platform: str, command: Sequence[str] = TERMUX_COMMAND) -> None:
        """`platform` is sys.platform; `command` prints what `termux-battery-status` does."""
        self._command = tuple(command) if platform == "android" else None
        self._phone = Power(is_battery_hidden=True)

    def current(self) -> Power:
        """Never blocks."""
        return self._phone if self._command else read_sensors()

    async def serve(self) -> None:
        """Read the phone's battery until cancelled; return at once on any other device."""
        while self._command:
            before, self._phone = self._phone, await self._read_phone(self._command)
            if self._phone.is_battery_hidden and not before.is_battery_hidden:
                _log.warning("termux-battery-status no longer answers; is the app Termux:API still installed?")
            await asyncio.sleep(POWER_SECONDS)

    async def _read_phone(self, command: Sequence[str]) -> Power:
        path = shutil.which(command[0])
        if path is None:
            return Power(is_battery_hidden=True)
        try:
            return Power(battery=parse_termux(await _output(path, *command[1:])))
        except (OSError, ValueError, TimeoutError) as error:
            _log.debug("no battery: %s", error)
            return Power(is_battery_hidden=True)


def read_sensors() -> Power:
    """What psutil knows. A figure that the platform lacks or denies is None."""
    return Power(battery=_psutil_battery(), temperature=_hottest())


def parse_termux(text: bytes) -> Battery:
    """The battery in the output of `termux-battery-status`. Raises ValueError for anything else.

    A charger that is too weak for what the phone does counts as none: the battery empties all the same.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    percent, celsius = _number(found.get("percentage")), _number(found.get("temperature"))
    if percent is None or not 0 <= percent <= 100:
        raise ValueError(f"no charge in percent: {found.get('percentage')!r:.20}")
    is_attached = str(found.get("plugged", "")).startswith("PLUGGED")
    return Battery(
        percent=percent,
        plugged=is_attached and found.get("status") != "DISCHARGING",
        source="termux",
        temperature_celsius=celsius or None,  # phones without that sensor report 0.0
    )


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]


async def _output(*words: str) -> bytes:
    """What a command prints. Raises OSError, TimeoutError; then it and its children are killed."""
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    )
    try:
        async with asyncio.timeout(POWER_QUERY_SECONDS):
            child = await asyncio.shield(starting)
            return (await child.communicate())[0]
    except BaseException:
        child = await starting  # asyncio would end a child whose start is cancelled, and not the children of that child
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
        raise


def _psutil_battery() -> Battery | None:
    try:
        found = psutil.sensors_battery()
    except (OSError, AttributeError, NotImplementedError, RuntimeError, psutil.Error):
        return None
    if found is None:
        return None
    return Battery(percent=float(found.percent), plugged=bool(found.power_plugged), source="psutil")


def _hottest() -> Figure | None:
    try:
        groups = psutil.sensors_temperatures().values()
    except (OSError, AttributeError, NotImplementedError, RuntimeError, psutil.Error):
        return None
    readings = [sensor.current for group in groups for sensor in group]
    return Figure(value=float(max(readings)), source="psutil") if readings else None
