"""How many tokens a second devices will train together, in each mode, and which of them help. Pure.

The figures that go in are measured: each device's own speed for this network (`cellmindctl plan` has every device
compute for some seconds), and the rates between them. After a run the prediction stands beside what was measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cellmind_agent.planning.commits import local_round_seconds
from cellmind_agent.planning.exchange import Averaging, Network, best_averaging
from cellmind_agent.planning.shares import known_speeds, shares
from cellmind_agent.protocol.limits import LONG_AVERAGE_SECONDS, ROUND_SECONDS, USUAL_COMMIT_SECONDS
from cellmind_agent.protocol.messages import RosterMember, RunMode

FLOAT32, BFLOAT16, INT8, INT4 = 4.0, 2.0, 1.01, 0.53  # bytes a value, with the scales of its block
_WORTH = -0.35  # of a token in local rounds: this power of the number of equal members. BENCHMARKS, local rounds
WIDTHS = {"float32": FLOAT32, "bfloat16": BFLOAT16, "int8": INT8, "int4": INT4}
_LAST_STEP = 0.25  # of a step: so long the others wait on average, since dealt steps end at about the same time
_AVERAGE_TOKENS = 300  # in so many tokens' time a device encodes, adds up and hashes its weights, however large
_WORTH_A_DEVICE = 1.01  # a device must bring this much


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run needs of its members."""

    weights: int  # parameters of the model
    step_tokens: int
    batch_samples: int = 1
    exchange: str = "auto"  # how values travel (`DistributedConfig` of the model)
    round_seconds: float = ROUND_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What these devices will do together. `useful_speed` counts a token of a local round for less, because the members
    learn it apart; it is in tokens a second of one device.

    `averaging` is the exchange of a local round, `exchange_seconds` that of a step (ddp) or of a round (local).
    """

    members: tuple[RosterMember, ...]
    mode: RunMode
    tokens_per_second: float
    useful_speed: float
    exchange_seconds: float
    bytes_per_value: float
    averaging: Averaging | None = None


def name_of_work(config: bytes, vocab_size: int) -> str:
    """The name by which devices remember their speed: the SHA-256 of a configuration with all that a step's time
    depends on, and of the vocabulary's size."""
    return hashlib.sha256(config + str(vocab_size).encode()).hexdigest()


def forecast(mode: RunMode, members: Sequence[RosterMember], work: Work, network: Network) -> Forecast | None:
    """None if the network is not known, or no device's speed. A device of unknown speed counts as the median."""
    known = [member.tokens_per_second for member in members if member.tokens_per_second]
    if not known:
        return None
    speeds = known_speeds([member.tokens_per_second for member in members])
    if mode == "ddp":
        return _together(members, speeds, work, network)
    return _apart(members, speeds, work, network)


def _together(
    members: Sequence[RosterMember], speeds: Sequence[float], work: Work, network: Network
) -> Forecast | None:
    width = FLOAT32 if work.exchange in ("auto", "float32") else BFLOAT16
    exchange = network.ring_seconds(members, width * work.weights)
    if exchange is None:
        return None
    row_tokens = work.step_tokens / work.batch_samples
    given = shares(speeds, work.batch_samples)
    computing = max(rows * row_tokens / speed for rows, speed in zip(given, speeds, strict=True))
    speed = work.step_tokens / (computing + exchange)
    return Forecast(
        members=tuple(members),
        mode="ddp",
        tokens_per_second=speed,
        useful_speed=speed,
        exchange_seconds=exchange,
        bytes_per_value=width,
    )


def _apart(members: Sequence[RosterMember], speeds: Sequence[float], work: Work, network: Network) -> Forecast | None:
    width = WIDTHS.get(work.exchange, INT8)
    averaging = best_averaging(members, width * work.weights, network)
    if averaging and averaging.seconds > LONG_AVERAGE_SECONDS and work.exchange == "auto":
        width, averaging = INT4, best_averaging(members, INT4 * work.weights, network)
    if averaging is None:
        return None
    exchange = average_seconds(speeds, averaging.seconds)
    training = local_round_seconds(work.round_seconds, exchange)
    waiting = USUAL_COMMIT_SECONDS
    if len(members) > 1:
        waiting += _LAST_STEP * work.step_tokens / min(speeds)
    speed = sum(speeds) * training / (training + exchange + waiting)
    num_equal = sum(speeds) ** 2 / sum(one**2 for one in speeds)
    return Forecast(
        members=tuple(members),
        mode="local",
        tokens_per_second=speed,
        useful_speed=speed * num_equal**_WORTH,
        exchange_seconds=exchange,
        bytes_per_value=width,
        averaging=averaging,
    )


def average_seconds(speeds: Sequence[float], exchange_seconds: float) -> float:
    """How long an average takes members of these speeds, if the network needs `exchange_seconds`: all wait for the
    arithmetic of the slowest."""
    return exchange_seconds + (_AVERAGE_TOKENS / min(speeds) if len(speeds) > 1 else 0.0)


def better(one: Forecast | None, other: Forecast | None) -> Forecast | None:
    """Of two forecasts the one that trains sooner. The first, if they are equal."""
    if one is None or other is None:
        return one or other
    return other if other.useful_speed > one.useful_speed else one


def useful_subsets(
    modes: Sequence[RunMode], members: Sequence[RosterMember], work: Work, network: Network
) -> list[Forecast]:
    """The best forecast for each number of members, from one to all. Each set is the next one without the member
    that helps least, so a set of another kind could be better: all would be too many. Empty if nothing is known.
    """
    rest, found = list(members), list[Forecast]()
    while rest:
        best = _best(modes, rest, work, network)
        if best is None:
            break
        found.append(best)
        fewer = [[one for one in rest if one is not member] for member in rest]
        forecasts = [_best(modes, those, work, network) for those in fewer if those]
        kept = [those for those in forecasts if those]
        if not kept:
            break
        best_rest = max(kept, key=lambda those: those.useful_speed)
        rest = list(best_rest.members)
    return found[::-1]


def chosen(forecasts: Sequence[Forecast]) -> Forecast:
    """The fastest of these, which become larger; a larger one only if it brings more than a little."""
    best = forecasts[0]
    for one in forecasts[1:]:
        if one.useful_speed > best.useful_speed * _WORTH_A_DEVICE ** (len(one.members) - len(best.members)):
            best = one
    return best


def gain(without: Forecast, members: Sequence[RosterMember], work: Work, network: Network) -> float | None:
    """How much more `members` learn in a time than those of a forecast do, as a part of it. None: not known."""
    together = _best((without.mode,), members, work, network)
    return together.useful_speed / without.useful_speed - 1 if together else None


def _best(modes: Sequence[RunMode], members: Sequence[RosterMember], work: Work, network: Network) -> Forecast | None:
    best: Forecast | None = None
    for mode in modes:
        best = better(best, forecast(mode, members, work, network))
    return best
