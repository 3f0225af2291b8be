"""What a round does and what it commits: its length, its checkpoint, the record of its held-out losses. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.run_actions import Commit, Pace
from cellmind_agent.planning.run_life import Committing, Training
from cellmind_agent.protocol.limits import (
    CALM_SECONDS,
    CHECKPOINT_SECONDS,
    EXCHANGE_SHARE,
    LEAST_COMMIT_SECONDS,
    LEAST_ROUND_SECONDS,
    LOCAL_ROUND_SECONDS,
    MAX_LOCAL_ROUND_STEPS,
    MAX_ROUND_STEPS,
)
from cellmind_agent.protocol.messages import RoundTrained, RunMode
from model.line.held_out import HeldOutRecord, after, served_loss


def steps_for_round(pace: Pace, round_number: int, mode: RunMode) -> int:
    """Steps that take about as long as a round should; the first is short, since nothing has been measured."""
    if pace.seconds_per_step is None or pace.seconds_per_step <= 0 or round_number <= 1:
        return pace.first_steps
    most = MAX_LOCAL_ROUND_STEPS if mode == "local" else MAX_ROUND_STEPS
    return max(1, min(most, round(pace.round_seconds / pace.seconds_per_step)))


def round_seconds(most: float, commit_seconds: float, run_seconds: float, num_lost: int, costly: float = 1.0) -> float:
    """How long a round should be, at most `most` seconds, in a run that has lost so many devices in `run_seconds`.
    `costly` is the part of all losses that cost a round.

    With a loss every M seconds and C seconds for a commit, sqrt(2 C M) loses the least time to both (Young, "A first
    order approximation to the optimum checkpoint interval", Communications of the ACM 17(9), 1974). Before it has lost
    a device a run expects a loss in CALM_SECONDS.
    """
    seconds_between = (CALM_SECONDS + run_seconds) / (1 + num_lost) / costly
    best = math.sqrt(2 * max(commit_seconds, LEAST_COMMIT_SECONDS) * seconds_between)
    return min(most, max(LEAST_ROUND_SECONDS, best))


def local_round_seconds(base: float, exchange_seconds: float) -> float:
    """How long the members of a local round should train before they exchange: as long as any round, and so long that
    the exchange takes a small part of the time, up to LOCAL_ROUND_SECONDS."""
    return max(base, min(LOCAL_ROUND_SECONDS, exchange_seconds * (1 / EXCHANGE_SHARE - 1)))


def commit_of(training: Training, ledger: Ledger, pace: Pace) -> tuple[Committing, Commit]:
    """The commit of a round that all have trained, of those members that have the same weights as the leader."""
    standing, result = training.standing, training.results[training.standing.roster[0]]
    roster = tuple(d for d in standing.roster if training.results[d].state_hash == result.state_hash)
    step = standing.step + training.num_steps
    held_out, is_best = _note(training, result)
    is_over = step >= ledger.total_steps or 0 < ledger.patience <= held_out.num_worse
    is_last = is_over or (standing.is_stop_asked and training.is_evaluated and standing.round > 0)
    after_it = replace(
        standing,
        roster=roster,
        round=standing.round + 1,
        step=step,
        state_hash=result.state_hash,
        holders=frozenset(roster),
        held_out=held_out,
        num_broken=0,
        work=None,
    )
    commit = Commit(
        roster=roster,
        term=standing.term,
        round=standing.round,
        step=step,
        is_checkpoint=standing.round > 0 and (is_last or _is_checkpoint_due(pace)),
        result=result,
        is_best=is_best,
        held_out=held_out,
        taken=standing.work.taken if standing.work else {},
    )
    return Committing(standing=after_it, waiting=frozenset(roster), is_last=is_last), commit


def _is_checkpoint_due(pace: Pace) -> bool:
    return pace.seconds_since_checkpoint is None or pace.seconds_since_checkpoint >= CHECKPOINT_SECONDS


def _note(training: Training, result: RoundTrained) -> tuple[HeldOutRecord, bool]:
    """The record after the round, and whether its evaluation is the best so far.

    A resumed run evaluates its checkpoint once more, which is nothing new.
    """
    held_out = training.standing.held_out
    loss = served_loss(result.val_loss, result.average_val_loss)
    is_resumed = training.standing.round == 0 and held_out.best_loss is not None
    if loss is None or is_resumed:
        return held_out, False
    record = after(held_out, training.standing.step + training.num_steps, loss)
    return record, record.num_worse == 0
