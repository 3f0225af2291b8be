"""What a round does and what it commits: its length, its checkpoint, the record of its held-out losses. Pure."""

from __future__ import annotations

from dataclasses import replace

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.run_life import Commit, Committing, Pace, Training
from cellmind_agent.protocol.limits import CHECKPOINT_SECONDS
from cellmind_agent.protocol.messages import RoundTrained
from model.line.held_out import HeldOutRecord, after, served_loss


def steps_for_round(pace: Pace, round_number: int) -> int:
    """Steps that take about as long as a round should; the first is short, since nothing has been measured."""
    if pace.seconds_per_step is None or pace.seconds_per_step <= 0 or round_number <= 1:
        return 2
    return max(1, min(1000, round(pace.round_seconds / pace.seconds_per_step)))


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
