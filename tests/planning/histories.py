"""Histories of runs for tests: rounds with any roster, and a cell whose devices come and go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.lineage import Noted
from cellmind_agent.planning.shares import shares
from cellmind_agent.protocol import messages as m
from model.line.sentence import Sentence
from tests.protocol.examples import RUN, SPEC

LEDGER = Ledger(num_samples=53, batch_samples=8, epochs=3)  # seven steps an epoch, and five samples in the last
RUN_SPEC = replace(SPEC, num_samples=53, batch_samples=8, epochs=3, max_steps=None)
ROUND_SECONDS = 10.0
STEP_TOKENS = 100


def committed(
    first: int, last: int, speeds: dict[str, float], term: int = 1, number: int = 1, val_loss: float | None = None
) -> m.RoundCommitted:
    """A round of ROUND_SECONDS whose members have these speeds."""
    given = shares(list(speeds.values()), LEDGER.batch_samples)
    tokens = (last - first) * STEP_TOKENS
    members = tuple(
        m.MemberProgress(
            name=name, tokens=tokens * share // sum(given), tokens_per_second=1.0, idle_fraction=0.0, share=share
        )
        for name, share in zip(speeds, given, strict=True)
    )
    return m.RoundCommitted(
        run=RUN, round=number, first_step=first, step=last, total_steps=LEDGER.total_steps, tokens=last * STEP_TOKENS,
        loss=None, tokens_per_second=sum(one.tokens for one in members) / ROUND_SECONDS, members=members, wire_bytes=0,
        state_hash=f"{term}/{last}/{'+'.join(speeds)}", val_loss=val_loss, term=term,
    )  # fmt: skip


def started(first: int, last: int, number: int = 1) -> m.RoundStarted:
    return m.RoundStarted(
        run=RUN, round=number, step=first, num_steps=last - first, total_steps=LEDGER.total_steps
    )  # fmt: skip


def lost(name: str, why: str = "it fell silent") -> m.MemberLost:
    return m.MemberLost(run=RUN, name=name, why=Sentence(why))


@dataclass
class Cell:
    """Devices that train together, each with a log of its own. What has truly happened is in the other fields."""

    logs: dict[str, list[Noted]] = field(default_factory=dict)
    step: int = 0
    term: int = 0
    now: float = 1000.0
    present: tuple[str, ...] = ()
    tokens: Counter[str] = field(default_factory=Counter)
    rounds: list[m.RoundCommitted] = field(default_factory=list)
    changes: list[tuple[str, str, int]] = field(default_factory=list)
    redone_seconds: float = 0.0

    def regroup(self, roster: Sequence[str]) -> None:
        """Another term, with this roster, whose first member leads."""
        self.term += 1
        before, self.present = self.present, tuple(roster)
        gone = [name for name in before if name not in roster]
        self.changes += [("left", name, self.step) for name in gone]
        for name in roster:
            if name not in before and before:
                self.changes.append(("returned" if name in self.logs else "joined", name, self.step))
        for name in roster:
            self.logs.setdefault(name, [])
            self.logs[name] += [Noted(event=lost(other), time=self.now) for other in gone]
        if not before or before[0] != roster[0]:
            self.changes.append(("led", roster[0], self.step))
        self.train(self.step, roster)  # at first the group proves that all hold the same state

    def train(self, until: int, knowing: Sequence[str] | None = None) -> None:
        """A round that is committed, on all members or (when the others are lost before they commit) on `knowing`."""
        event = committed(self.step, until, dict.fromkeys(self.present, 1.0), self.term, len(self.rounds))
        for name in self.present:
            self.note(name, started(self.step, until, event.round))
        self.now += ROUND_SECONDS
        for name in self.present if knowing is None else knowing:
            self.note(name, event)
        self.rounds.append(event)
        self.tokens.update({member.name: member.tokens for member in event.members})
        self.step = until

    def break_round(self, seconds: float) -> None:
        """A round of as many steps as the last one is given up after some seconds."""
        for name in self.present:
            self.note(name, started(self.step, self.step + 1))
        self.now += seconds
        self.redone_seconds += seconds

    def note(self, name: str, event: m.RoundStarted | m.RoundCommitted) -> None:
        self.logs[name].append(Noted(event=event, time=self.now))
