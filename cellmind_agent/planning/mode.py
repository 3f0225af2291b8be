"""Chooses how the members of a run train together: in the mode that is forecast to learn faster. Pure.

In the mode `ddp` the members exchange all gradients in every step. In the mode `local` each takes steps of its own, and
they average their weights once a round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cellmind_agent.planning.exchange import MeasuredNetwork
from cellmind_agent.planning.forecast import FLOAT32, Forecast, Work, forecast
from cellmind_agent.protocol.limits import LONG_EXCHANGE_SECONDS
from cellmind_agent.protocol.messages import RosterMember, RunMode
from model.line.sentence import Sentence

ModeChoice = Literal["auto", "ddp", "local"]


def possible_modes(choice: ModeChoice, members: Sequence[RosterMember]) -> tuple[RunMode, ...]:
    """The modes among which a forecast decides."""
    if choice != "auto":
        return (choice,)
    if len(members) > 1 and len({member.host for member in members}) == 1:
        return ("ddp",)
    return ("ddp", "local")


def choose_mode(
    choice: ModeChoice, roster: Sequence[RosterMember], work: Work, network: MeasuredNetwork | None
) -> tuple[RunMode, Sentence]:
    """The mode and why. `network` is None if it could not be measured."""
    if choice != "auto":
        return choice, Sentence("asked for")
    if len(roster) == 1:
        return "local", Sentence("one device alone; others may join over any network")
    if len({member.host for member in roster}) == 1:
        return "ddp", Sentence("the members share one machine, so gradients are cheap to exchange")
    exchange = network.ring_seconds(roster, FLOAT32 * work.weights) if network else None
    if network is None or exchange is None:
        return "ddp", Sentence("the network could not be measured; on a slow one choose --mode local")
    megabits = 8e-6 * network.slowest_rate
    rate = f"{megabits:.0f}" if megabits >= 100 else f"{megabits:.2g}"
    together, apart = forecast("ddp", roster, work, network), forecast("local", roster, work, network)
    if together is None or apart is None:
        if exchange > LONG_EXCHANGE_SECONDS:
            text = "at {rate} Mbit/s the gradients of a step would take {ddp} s"
            return "local", Sentence(text, rate=rate, ddp=f"{exchange:.2g}")
        text = "at {rate} Mbit/s the gradients of a step take {ddp} s"
        return "ddp", Sentence(text, rate=rate, ddp=f"{exchange:.2g}")
    text = "at {rate} Mbit/s a step takes {ddp} s together, and {local} s in local rounds"
    if network.is_shared:
        text = "at {rate} Mbit/s, which all share, a step takes {ddp} s together, and {local} s in local rounds"
    why = Sentence(
        text,
        rate=rate,
        ddp=_seconds_of_step(together, work),
        local=_seconds_of_step(apart, work),
    )
    return ("ddp" if together.useful_speed >= apart.useful_speed else "local"), why


def _seconds_of_step(made: Forecast, work: Work) -> str:
    return f"{work.step_tokens / made.tokens_per_second:.2g}"
