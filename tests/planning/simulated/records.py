"""The run that a simulated cell trains, and what it writes down."""

from __future__ import annotations

from dataclasses import replace

from cellmind_agent.planning.ledger import ledger_of
from cellmind_agent.protocol import messages as m
from tests.protocol.examples import REF, RUN, SPEC

RUN_SPEC = replace(
    SPEC, num_samples=17, batch_samples=5, epochs=4, max_steps=None, evaluate_every=5, patience=0, devices=(),
    backend="auto", round_seconds=10.0,
)  # fmt: skip


def tokens(step: int) -> int:
    return 100 * step


def started(number: int, step: int, num_steps: int) -> m.RoundStarted:
    return m.RoundStarted(
        run=RUN, round=number, step=step, num_steps=num_steps, total_steps=ledger_of(RUN_SPEC).total_steps
    )


def checkpoint_of(last: m.LastCommit, now: float) -> m.ModelView:
    return m.ModelView(
        model=RUN, step=last.step, tokens=last.tokens, val_loss=None, state_hash=last.state_hash, files={},
        tokenizer=REF, created=now, held_out=last.held_out,
    )  # fmt: skip
