"""Homes that a person describes in a file, simulated: what `cellmindctl plan --simulate FILE` shows."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cellmind_agent.planning.exchange import best_averaging
from cellmind_agent.planning.forecast import INT4, INT8, Work, average_seconds, forecast
from cellmind_agent.planning.homes import HomeNetwork, Place
from cellmind_agent.planning.simulation import SimulatedRun, simulate
from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import LONG_AVERAGE_SECONDS, PROGRESS_SECONDS, ROUND_SECONDS, RUN_HEARTBEAT_SECONDS
from cellmind_agent.protocol.messages import RosterMember
from cellmind_agent.words import t
from cellmind_ctl.figures import UNKNOWN, number
from cellmind_ctl.session import Session

HEADERS = ("name", "devices", "way", "tok/s", "of sum", "average", "bytes/tok", "links", "leader")
RIGHT = ("devices", "tok/s", "of sum", "average", "bytes/tok", "links", "leader")
LESS = ("leader", "links", "bytes/tok")  # left out first on a narrow terminal
MAX_DEVICES = 1000  # of one home: planning for more takes minutes
_MEGABIT = 1e6 / 8
_MESSAGE_SECONDS = 1e-4  # of a processor, to send or receive one: measured with a link on loopback
_HINT = "README.md, Devices of different kinds, has an example"
_RATES: Mapping[str, float] = {"air_mbit": 100, "cable_mbit": 1000, "backbone_mbit": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Devices, fastest first, their network, and the work that they do together."""

    name: str
    members: tuple[RosterMember, ...]
    network: HomeNetwork
    work: Work

    @property
    def speeds(self) -> dict[DeviceId, float]:
        return {member.device: member.tokens_per_second or 0.0 for member in self.members}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one way to exchange brings a home. `links` are the connections of the device that has most, and `leader` is
    the part of a processor that leading takes; `idle` is the mean over the devices. None: it was not simulated."""

    home: str
    devices: int
    way: str
    tokens_per_second: float
    efficiency: float  # of the sum of all devices
    average_seconds: float  # of the exchange of a step or a round
    bytes_per_token: float  # that all devices send
    links: int
    leader: float | None = None
    idle: float | None = None


def show_simulated(session: Session, path: Path) -> None:
    """Print what each way brings each home of a file. Raises as `read_homes`."""
    from cellmind_ctl.render import print_table

    found: list[Outcome] = []
    for home in read_homes(path):
        session.notice(t("simulating {home}: {count} devices", home=home.name, count=number(len(home.members))))
        found += outcomes(home)
    if session.is_json:
        session.emit("plan", {"simulated": [asdict(one) for one in found]})
    else:
        print_table(session.color, HEADERS, rows(found), RIGHT, LESS)


def read_homes(path: Path) -> list[Home]:
    """The homes in a file. Raises UsageError with the place of a mistake."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError("{path} describes no homes: {error}", _HINT, path=path, error=error) from error
    homes = plain.get("homes") if isinstance(plain, dict) else None
    if not isinstance(homes, list) or not homes:
        raise UsageError("{path} names no homes", _HINT, path=path)
    work = Work(
        weights=int(_number(plain, "weights", "the file", 3e6)),
        step_tokens=int(_number(plain, "step_tokens", "the file", 2048)),
        batch_samples=16,
        round_seconds=_number(plain, "round_seconds", "the file", ROUND_SECONDS),
    )
    return [_home(home, f"homes[{place}]", work) for place, home in enumerate(homes)]


def _home(plain: object, where: str, work: Work) -> Home:
    if not isinstance(plain, dict):
        raise UsageError("{where} is no JSON object", _HINT, where=where)
    settings = {key: _number(plain, key, where, default) for key, default in _RATES.items()}
    kinds = plain.get("devices")
    if not isinstance(kinds, list) or not kinds:
        raise UsageError("{where} has no devices", _HINT, where=where)
    found: list[tuple[float, bool]] = []
    for place, kind in enumerate(kinds):
        here = f"{where}.devices[{place}]"
        if not isinstance(kind, dict):
            raise UsageError("{where} is no JSON object", _HINT, where=here)
        count = _count(kind, "count", here)
        found += [(_number(kind, "tokens_per_second", here), bool(kind.get("wired", False)))] * min(
            count, MAX_DEVICES + 1
        )
    if len(found) > MAX_DEVICES:
        raise UsageError("{where} has more than {most} devices", _HINT, where=where, most=MAX_DEVICES)
    found.sort(key=lambda one: -one[0])
    members = tuple(
        RosterMember(device=DeviceId(f"{place:032d}"), name=str(place), host=str(place), tokens_per_second=speed)
        for place, (speed, _) in enumerate(found)
    )
    cells = _count(plain, "cells", where)
    places = {
        member.device: Place(cell=place % cells, is_wired=is_wired)
        for place, (member, (_, is_wired)) in enumerate(zip(members, found, strict=True))
    }
    network = HomeNetwork(
        places=places,
        air=settings["air_mbit"] * _MEGABIT,
        cable=settings["cable_mbit"] * _MEGABIT,
        backbone=settings["backbone_mbit"] * _MEGABIT,
    )
    return Home(name=str(plain.get("name", where)), members=members, network=network, work=work)


def _number(plain: Mapping[str, object], key: str, where: str, default: float | None = None) -> float:
    """A positive number. Raises UsageError."""
    value = plain.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
        text = "{where}: {key} must be a number more than 0, and is {value}"
        raise UsageError(text, _HINT, where=where, key=key, value=json.dumps(value))
    return float(value)


def _count(plain: Mapping[str, object], key: str, where: str) -> int:
    """A whole number, by default 1. Raises UsageError."""
    value = _number(plain, key, where, 1)
    if value != int(value):
        text = "{where}: {key} must be a whole number, and is {value}"
        raise UsageError(text, _HINT, where=where, key=key, value=value)
    return int(value)


def outcomes(home: Home) -> Iterator[Outcome]:
    """Of each way to exchange: every step, each member averages a part, a star, and cells of cells."""
    together = forecast("ddp", home.members, home.work, home.network)
    if together:
        sent = 2 * (len(home.members) - 1) * 4 * home.work.weights / home.work.step_tokens
        yield _outcome(home, t("each step"), together.tokens_per_second, together.exchange_seconds, sent, 2)
    parts = _seconds_by_coding(home, "parts")
    yield _simulated(home, t("parts"), *parts)
    if len(home.members) > 2:
        yield _simulated(home, t("star"), *_seconds_by_coding(home, "star"))
    if len(_cells(home)) > 1:
        yield _in_cells(home)


def _cells(home: Home) -> list[dict[DeviceId, float]]:
    """The speeds of the devices of each cell."""
    found: dict[int, dict[DeviceId, float]] = {}
    for device, speed in home.speeds.items():
        found.setdefault(home.network.places[device].cell, {})[device] = speed
    return list(found.values())


def _in_cells(home: Home) -> Outcome:
    """Cells of cells: each deals its own steps, and one member of each averages with those of the others. The leader of
    all leads its own cell too."""
    exchange_seconds, width = _seconds_by_coding(home, "cells")
    average = average_seconds(list(home.speeds.values()), exchange_seconds)
    cells = _cells(home)
    runs = [_run(home, cell, average) for cell in cells]
    top = _run(home, {next(iter(cell)): sum(cell.values()) for cell in cells}, average)
    speed = sum(run.tokens_per_second for run in runs)
    sent = 2 * (len(home.members) - 1) * width * home.work.weights * top.rounds / (speed * top.seconds)
    load = _load(top, len(cells)) + _load(runs[0], len(cells[0]))
    idle = sum(sum(run.idle.values()) for run in runs) / len(home.members)
    outcome = _outcome(home, t("cells"), speed, average, sent, len(cells[0]) + len(cells) - 2)
    return replace(outcome, leader=load, idle=idle)


def _seconds_by_coding(home: Home, way: str) -> tuple[float, float]:
    """How long an average takes on the network, in eight bits or else in four, and the bytes of a value."""
    for width in (INT8, INT4):
        seconds = _seconds(home, way, width * home.work.weights)
        if seconds <= LONG_AVERAGE_SECONDS:
            break
    return seconds, width


def _seconds(home: Home, way: str, vector_bytes: float) -> float:
    network, members = home.network, home.members
    if way == "cells":
        return network.cells_seconds(members, vector_bytes)
    if way == "parts":
        best = best_averaging(members, vector_bytes, network, centers=())
        return best.seconds if best else 0.0
    wired = next((member for member in members if network.places[member.device].is_wired), members[0])
    return network.star_seconds(members, vector_bytes, wired) or 0.0


def _simulated(home: Home, way: str, exchange_seconds: float, width: float) -> Outcome:
    speeds = home.speeds
    average = average_seconds(list(speeds.values()), exchange_seconds)
    run = _run(home, speeds, average)
    sent = 2 * (len(speeds) - 1) * width * home.work.weights * run.rounds / run.tokens
    outcome = _outcome(home, way, run.tokens_per_second, average, sent, len(speeds) - 1)
    return replace(outcome, leader=_load(run, len(speeds)), idle=sum(run.idle.values()) / len(speeds))


def _run(home: Home, speeds: Mapping[DeviceId, float], average: float) -> SimulatedRun:
    return simulate(speeds, average, home.work.step_tokens, home.work.round_seconds, clock=time.process_time)


def _outcome(home: Home, way: str, speed: float, seconds: float, sent: float, links: int) -> Outcome:
    return Outcome(
        home=home.name,
        devices=len(home.members),
        way=way,
        tokens_per_second=speed,
        efficiency=speed / sum(home.speeds.values()),
        average_seconds=seconds,
        bytes_per_token=sent,
        links=links,
    )


def _load(run: SimulatedRun, members: int) -> float:
    """The part of a processor that the leader needs for its decisions, and for messages: requests with their answers,
    and each other member's progress and heartbeats."""
    steady = (members - 1) * (1 / PROGRESS_SECONDS + 2 / RUN_HEARTBEAT_SECONDS)
    return (2 * run.requests / run.seconds + steady) * _MESSAGE_SECONDS + run.deciding_seconds / run.seconds


def rows(found: Sequence[Outcome]) -> list[list[str]]:
    """The cells of each outcome, in the order of HEADERS."""
    return [
        [
            one.home,
            number(one.devices),
            one.way,
            number(one.tokens_per_second),
            f"{one.efficiency:.0%}",
            t("{number} s", number=f"{one.average_seconds:.3g}"),
            number(one.bytes_per_token),
            number(one.links),
            UNKNOWN if one.leader is None else f"{one.leader:.0%}",
        ]
        for one in found
    ]
