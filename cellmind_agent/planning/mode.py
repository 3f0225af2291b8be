"""Chooses how the members of a run train together, from what a step would take in each mode. Pure.

In the mode `ddp` the members exchange all gradients in every step. In the mode `local` each takes steps of its own, and
they average their weights once a round. A step of `ddp` is worth more, so it may take longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.planning.commits import local_round_seconds
from cellmind_agent.protocol.limits import LONG_EXCHANGE_SECONDS, ROUND_SECONDS
from cellmind_agent.protocol.messages import RosterMember, RunMode
from model.line.sentence import Sentence

ModeChoice = Literal["auto", "ddp", "local"]

_GRADIENT = 4.0  # bytes for a weight, in float32
_CHANGE = 1.01  # bytes for a weight, in blocks of eight bits with their scales
_WORTH = 1.5  # how much longer a step of `ddp` may take, since it brings as much as this many steps of local rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a run needs of its members in each step."""

    weights: int  # parameters of the model
    step_tokens: int


def choose_mode(
    choice: ModeChoice, roster: Sequence[RosterMember], work: Work, bytes_per_second: float | None
) -> tuple[RunMode, Sentence]:
    """The mode and why. `bytes_per_second` is what the slowest member sends to another while all send, if known."""
    if choice != "auto":
        return choice, Sentence("asked for")
    if len(roster) == 1:
        return "local", Sentence("one device alone; others may join over any network")
    if len({member.host for member in roster}) == 1:
        return "ddp", Sentence("the members share one machine, so gradients are cheap to exchange")
    if bytes_per_second is None or bytes_per_second <= 0:
        return "ddp", Sentence("the network could not be measured; on a slow one choose --mode local")
    # Each member sends, and receives, this part of all weights.
    exchanged = 2 * (len(roster) - 1) / len(roster) * work.weights / bytes_per_second
    ddp_exchange, local_exchange = _GRADIENT * exchanged, _CHANGE * exchanged
    megabits = 8e-6 * bytes_per_second
    rate = f"{megabits:.0f}" if megabits >= 100 else f"{megabits:.2g}"
    computing = _computing_seconds(roster, work)
    if computing is None:
        if ddp_exchange > LONG_EXCHANGE_SECONDS:
            text = "at {rate} Mbit/s the gradients of a step would take {ddp} s"
            return "local", Sentence(text, rate=rate, ddp=f"{ddp_exchange:.2g}")
        return "ddp", Sentence(
            "at {rate} Mbit/s the gradients of a step take {ddp} s", rate=rate, ddp=f"{ddp_exchange:.2g}"
        )
    training = local_round_seconds(ROUND_SECONDS, local_exchange)
    ddp = computing + ddp_exchange
    local = computing * (1 + local_exchange / training)
    text = "at {rate} Mbit/s a step takes {ddp} s together, and {local} s in local rounds"
    why = Sentence(text, rate=rate, ddp=f"{ddp:.2g}", local=f"{local:.2g}")
    return ("ddp" if ddp <= _WORTH * local else "local"), why


def _computing_seconds(roster: Sequence[RosterMember], work: Work) -> float | None:
    """Of a step, when all members compute at their speeds; None while nothing is known. An unknown speed counts as the
    mean of the others."""
    known = [member.tokens_per_second for member in roster if member.tokens_per_second]
    return work.step_tokens / (sum(known) / len(known) * len(roster)) if known else None
