"""How a leadership ends: the run is over, or another member leads on. Pure."""

from __future__ import annotations

from typing import Literal

from cellmind_agent.planning.run_actions import Action, End, HandOver
from cellmind_agent.planning.run_life import Ended, RunLife, Standing
from cellmind_agent.protocol.ids import DeviceId
from model.line.sentence import Sentence


def end(
    standing: Standing,
    cause: Literal["finished", "stopped", "failed"],
    why: Sentence | None = None,
    is_early: bool = False,
) -> tuple[RunLife, tuple[Action, ...]]:
    """The run is over for all of its members."""
    return Ended(cause=cause, why=why), (End(roster=standing.roster, cause=cause, why=why, is_early=is_early),)


def hand_over(standing: Standing, why: Sentence, leader: DeviceId | None = None) -> tuple[RunLife, tuple[Action, ...]]:
    """Another member leads on, also of those that were about to join. Without one that could, the run fails."""
    others = standing.roster[1:]
    if not others and leader is None:
        return end(standing, "failed", why)
    action = HandOver(roster=(*others, *standing.newcomers), why=why, leader=leader, state_hash=standing.state_hash)
    return Ended(cause="replaced", why=why), (action,)
