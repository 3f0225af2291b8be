"""Decides how much of this device its trainer may take: it gives way to other programs, to heat and to the battery.

A limit ends later than it begins (hysteresis), so a figure near its limit does not switch training back and forth. A
figure that the platform hides limits nothing. A pause is never endless: the trainer takes a step after each rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from cellmind_agent.config import Politeness
from cellmind_agent.protocol.limits import (
    CALM_READINGS,
    CHARGED_BATTERY_PERCENT,
    COOLER_CELSIUS,
    HOT_BATTERY_CELSIUS,
    HOT_CELSIUS,
    LOW_BATTERY_PERCENT,
    VERY_HOT_BATTERY_CELSIUS,
    VERY_HOT_CELSIUS,
)
from cellmind_agent.protocol.messages import Battery
from model.line.sentence import Sentence

Heat = Literal["normal", "hot", "very hot"]

# Others may take half of a trainer's core before the trainer leaves it, and must leave nearly a whole core free before
# it comes back. The two differ by more than rounding can add up to, so a constant load never changes the answer twice.
_TOLERATED_CORES = 0.5
_SPARE_CORES = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """What speaks against training on this device now. None: the platform hides the figure."""

    usable_cores: int  # by the trainer, at least 1
    cores: int  # of the machine
    others_cores: float | None = None  # the mean number of cores that other programs use
    temperature_celsius: float | None = None  # of the hottest sensor
    battery: Battery | None = None
    is_battery_hidden: bool = False  # there is one, and nothing reports its charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the trainer may take, and the memory that hysteresis needs. The default is the one before any reading."""

    threads: int | None = None  # at most; None: as many as the trainer chooses
    is_paused: bool = False
    why: Sentence | None = None  # one line for people; None without a limit
    free_cores: int | None = None  # that other programs leave to the trainer, in whole cores
    calm_readings: int = 0  # how many in a row have had room for more threads
    heat: Heat = "normal"
    battery_heat: Heat = "normal"
    is_battery_low: bool = False


def allowance(pressure: Pressure, settings: Politeness, previous: Allowance) -> Allowance:
    """What the trainer may take now, if it was allowed `previous` at the reading before. At least one thread."""
    most = min(pressure.usable_cores, settings.max_threads or pressure.usable_cores)
    if not settings.yields:
        why = _limit(most, pressure, Sentence("--train-threads")) if most < pressure.usable_cores else None
        return Allowance(threads=most if why else None, why=why)
    state = _free_cores(pressure, previous)
    free = pressure.usable_cores if state.free_cores is None else state.free_cores
    battery_celsius = pressure.battery.temperature_celsius if pressure.battery else None
    state = replace(
        state,
        heat=_heat(pressure.temperature_celsius, previous.heat, HOT_CELSIUS, VERY_HOT_CELSIUS),
        battery_heat=_heat(battery_celsius, previous.battery_heat, HOT_BATTERY_CELSIUS, VERY_HOT_BATTERY_CELSIUS),
        is_battery_low=_is_battery_low(pressure.battery, previous.is_battery_low),
    )
    threads = min(most, free)
    too_hot = _too_hot(state)
    is_halved = too_hot is not None and threads > 1
    if is_halved:
        threads //= 2
    state = replace(state, threads=threads if threads < pressure.usable_cores else None)
    paused = _why_paused(pressure, settings, state)
    if paused:
        return replace(state, is_paused=True, why=paused)
    if is_halved and too_hot:
        return replace(state, why=_limit(threads, pressure, too_hot))
    if free < most:
        return replace(state, why=_limit(threads, pressure, Sentence("other programs use the processor")))
    if most < pressure.usable_cores:
        return replace(state, why=_limit(threads, pressure, Sentence("--train-threads")))
    return state


def others_cores(busy_seconds: float, own_seconds: float, elapsed_seconds: float) -> float:
    """How many cores other programs used on average, when all used `busy_seconds` of the processor, and we our part."""
    return max(0.0, busy_seconds - own_seconds) / elapsed_seconds if elapsed_seconds > 0 else 0.0


def _why_paused(pressure: Pressure, settings: Politeness, state: Allowance) -> Sentence | None:
    """Why training must rest, or None."""
    battery = pressure.battery
    if not settings.trains_on_battery and pressure.is_battery_hidden:
        return Sentence("it does not report whether it charges: install the app Termux:API")
    if not settings.trains_on_battery and battery and not battery.plugged:
        return Sentence("it does not charge")
    if state.is_battery_low:
        return Sentence("the battery is below {percent} %", percent=f"{LOW_BATTERY_PERCENT:g}")
    if state.heat == "very hot":
        return Sentence("hotter than {celsius} °C", celsius=f"{VERY_HOT_CELSIUS:g}")
    if state.battery_heat == "very hot":
        return Sentence("the battery is hotter than {celsius} °C", celsius=f"{VERY_HOT_BATTERY_CELSIUS:g}")
    return None


def _too_hot(state: Allowance) -> Sentence | None:
    """Why training takes half of the threads, or None."""
    if state.heat != "normal":
        return Sentence("hotter than {celsius} °C", celsius=f"{HOT_CELSIUS:g}")
    if state.battery_heat != "normal":
        return Sentence("the battery is hotter than {celsius} °C", celsius=f"{HOT_BATTERY_CELSIUS:g}")
    return None


def _limit(threads: int, pressure: Pressure, reason: Sentence) -> Sentence:
    return Sentence(
        "at most {threads} of {cores} threads: {reason}", threads=threads, cores=pressure.usable_cores, reason=reason
    )


def _free_cores(pressure: Pressure, previous: Allowance) -> Allowance:
    """A new allowance that holds the free cores alone: fewer at once, more only after CALM_READINGS."""
    usable = pressure.usable_cores
    if pressure.others_cores is None:
        return Allowance()
    before = usable if previous.free_cores is None else min(previous.free_cores, usable)
    free = pressure.cores - pressure.others_cores
    if free < before - _TOLERATED_CORES:
        return Allowance(free_cores=_clamp(math.floor(free + _TOLERATED_CORES), usable))
    more = _clamp(math.floor(free + _SPARE_CORES), usable)
    if more <= before:
        return Allowance(free_cores=before)
    calm = previous.calm_readings + 1
    return Allowance(free_cores=more) if calm >= CALM_READINGS else Allowance(free_cores=before, calm_readings=calm)


def _clamp(threads: int, usable: int) -> int:
    return max(1, min(usable, threads))


def _heat(celsius: float | None, previous: Heat, hot: float, very_hot: float) -> Heat:
    if celsius is None:
        return "normal"
    if celsius >= very_hot or (previous == "very hot" and celsius > very_hot - COOLER_CELSIUS):
        return "very hot"
    if celsius >= hot or (previous != "normal" and celsius > hot - COOLER_CELSIUS):
        return "hot"
    return "normal"


def _is_battery_low(battery: Battery | None, was_low: bool) -> bool:
    if battery is None or battery.plugged:
        return False
    return battery.percent < (CHARGED_BATTERY_PERCENT if was_low else LOW_BATTERY_PERCENT)
