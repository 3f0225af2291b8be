"""What a trainer may take: it gives way at once, comes back later, and never stops for good."""

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.config import Politeness
from cellmind_agent.planning.politeness import Allowance, Pressure, allowance, others_cores
from cellmind_agent.protocol.limits import CALM_READINGS
from cellmind_agent.protocol.messages import Battery

FOUR = Pressure(usable_cores=4, cores=4, others_cores=0.0, temperature_celsius=50.0)
EVEN = Politeness()


def battery(percent: float, plugged: bool = False, celsius: float | None = None) -> Battery:
    return Battery(percent=percent, plugged=plugged, source="test", temperature_celsius=celsius)


def after(*pressures: Pressure, settings: Politeness = EVEN) -> Allowance:
    """What is allowed after these readings."""
    allowed = Allowance()
    for pressure in pressures:
        allowed = allowance(pressure, settings, allowed)
    return allowed


pressures = st.integers(1, 16).flatmap(
    lambda usable: st.builds(
        Pressure,
        usable_cores=st.just(usable),
        cores=st.integers(usable, 32),
        others_cores=st.none() | st.floats(0, 40),
        temperature_celsius=st.none() | st.floats(-20, 130),
        battery=st.none() | st.builds(battery, st.floats(0, 100), st.booleans(), st.none() | st.floats(-20, 80)),
        is_battery_hidden=st.booleans(),
    )
)
settings = st.builds(
    Politeness, yields=st.booleans(), trains_on_battery=st.booleans(), max_threads=st.none() | st.integers(1, 20)
)


@given(st.lists(pressures, max_size=20), settings)
def test_there_is_always_a_thread_and_a_reason_for_every_limit(readings: list[Pressure], chosen: Politeness) -> None:
    allowed = Allowance()
    for pressure in readings:
        allowed = allowance(pressure, chosen, allowed)
        assert allowed.threads is None or 1 <= allowed.threads < pressure.usable_cores
        assert (allowed.why is not None) == (allowed.threads is not None or allowed.is_paused)
        if chosen.max_threads:
            assert (allowed.threads or pressure.usable_cores) <= chosen.max_threads


@given(st.lists(pressures, max_size=20), pressures, settings)
def test_constant_figures_change_the_answer_at_most_twice(
    readings: list[Pressure], last: Pressure, chosen: Politeness
) -> None:
    """Once at the first such reading, once when others have left cores free for long enough."""
    allowed = after(*readings, settings=chosen)
    answers = []
    for _ in range(4 * CALM_READINGS):
        allowed = allowance(last, chosen, allowed)
        answers.append((allowed.threads, allowed.is_paused))
    assert len(set(answers[CALM_READINGS:])) == 1
    assert sum(one != two for one, two in itertools.pairwise(answers)) <= 1


@given(st.lists(pressures, max_size=20), settings, st.integers(1, 16))
def test_every_limit_ends_when_its_reason_does(readings: list[Pressure], chosen: Politeness, cores: int) -> None:
    calm = Pressure(
        usable_cores=cores, cores=cores, others_cores=0.0, temperature_celsius=40.0, battery=battery(90, True)
    )
    allowed = after(*readings, *[calm] * (CALM_READINGS + 1), settings=chosen)
    assert not allowed.is_paused
    assert (allowed.threads or cores) == min(cores, chosen.max_threads or cores)


@given(pressures)
def test_hidden_figures_limit_nothing(pressure: Pressure) -> None:
    hidden = replace(pressure, others_cores=None, temperature_celsius=None, battery=None)
    assert after(hidden) == Allowance()


def test_other_programs_take_cores_at_once_and_give_them_back_later() -> None:
    busy = replace(FOUR, others_cores=1.6)
    allowed = after(FOUR, busy)
    assert (allowed.threads, allowed.why) == (2, "at most 2 of 4 threads: other programs use the processor")
    assert after(FOUR, busy, *[FOUR] * (CALM_READINGS - 1)).threads == 2
    assert after(FOUR, busy, *[FOUR] * CALM_READINGS).threads is None
    assert after(FOUR, replace(FOUR, others_cores=99.0)).threads == 1


def test_a_short_load_starts_the_wait_for_free_cores_again() -> None:
    busy = replace(FOUR, others_cores=2.0)
    almost = [FOUR] * (CALM_READINGS - 1)
    assert after(busy, *almost, busy, *almost).threads == 2


def test_a_little_work_of_others_costs_no_thread() -> None:
    assert after(replace(FOUR, others_cores=0.4)).threads is None


def test_cores_that_this_agent_may_not_use_count_for_the_others() -> None:
    assert after(Pressure(usable_cores=2, cores=8, others_cores=6.0)).threads is None
    assert after(Pressure(usable_cores=2, cores=8, others_cores=7.0)).threads == 1


def test_heat_halves_the_threads_then_pauses_and_ends_five_degrees_below() -> None:
    def at(celsius: float) -> Pressure:
        return replace(FOUR, temperature_celsius=celsius)

    assert after(at(89.9)).why is None
    assert (after(at(90)).threads, after(at(90)).why) == (2, "at most 2 of 4 threads: hotter than 90 °C")
    assert (after(at(95)).is_paused, after(at(95)).why) == (True, "hotter than 95 °C")
    assert after(at(95), at(90.1)).is_paused
    assert (after(at(95), at(90)).is_paused, after(at(95), at(90)).threads) == (False, 2)
    assert after(at(95), at(85.1)).threads == 2
    assert after(at(95), at(85)).why is None


def test_a_low_battery_pauses_until_it_is_charged_or_plugged_in() -> None:
    low, better = replace(FOUR, battery=battery(19)), replace(FOUR, battery=battery(24))
    assert after(low).why == "the battery is below 20 %"
    assert after(low, better).is_paused
    assert not after(better).is_paused
    assert not after(low, replace(FOUR, battery=battery(25))).is_paused
    assert not after(low, replace(FOUR, battery=battery(10, plugged=True))).is_paused


def test_a_hot_battery_halves_the_threads_then_pauses() -> None:
    def at(celsius: float) -> Pressure:
        return replace(FOUR, battery=battery(80, True, celsius))

    assert after(at(39.9)).why is None
    assert (after(at(40)).threads, after(at(40)).why) == (2, "at most 2 of 4 threads: the battery is hotter than 40 °C")
    assert (after(at(45)).is_paused, after(at(45)).why) == (True, "the battery is hotter than 45 °C")
    assert after(at(45), at(40.1)).is_paused
    assert after(at(45), at(40)).threads == 2
    assert after(at(45), at(35)).why is None


def test_a_phone_trains_only_while_it_charges_unless_told_otherwise() -> None:
    phone = Politeness(trains_on_battery=False)
    full, charging = replace(FOUR, battery=battery(100)), replace(FOUR, battery=battery(5, plugged=True))
    assert (after(full, settings=phone).is_paused, after(full, settings=phone).why) == (True, "it does not charge")
    assert after(charging, settings=phone).why is None
    assert after(full).why is None
    hidden = replace(FOUR, is_battery_hidden=True)
    assert after(hidden, settings=phone).is_paused
    assert "Termux:API" in str(after(hidden, settings=phone).why)
    assert after(hidden).why is None
    assert after(FOUR, settings=phone).why is None, "a device without a battery charges, as it were"


def test_who_does_not_yield_keeps_only_the_cap_on_threads() -> None:
    worst = Pressure(usable_cores=4, cores=4, others_cores=4.0, temperature_celsius=120.0, battery=battery(1))
    assert after(worst, settings=Politeness(yields=False)) == Allowance()
    capped = after(worst, settings=Politeness(yields=False, max_threads=3))
    assert (capped.threads, capped.is_paused, capped.why) == (3, False, "at most 3 of 4 threads: --train-threads")
    assert after(worst, settings=Politeness(yields=False, max_threads=9)).why is None


def test_our_own_work_is_not_that_of_others() -> None:
    assert others_cores(busy_seconds=6.0, own_seconds=4.0, elapsed_seconds=2.0) == 1.0
    assert others_cores(busy_seconds=1.0, own_seconds=1.2, elapsed_seconds=2.0) == 0.0
    assert others_cores(busy_seconds=1.0, own_seconds=0.0, elapsed_seconds=0.0) == 0.0
