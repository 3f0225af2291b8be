"""Did a run train every step exactly once? Computed from what its members wrote, without the product's own code.

Each member has `runs/<run>/events.jsonl` with a `RoundCommitted` line for every round that it committed. From the last
committed round the audit goes back from round to round to step 0: these rounds are the run's lineage. Others were
discarded: a leader that was cut off trained them, or they came after the checkpoint from which a run was resumed.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """One committed round, as a member wrote it. `shares` are the members' samples of each batch, by name; in a local
    round `steps` are those that any member took, as [start, stop)."""

    term: int
    round: int
    first_step: int
    step: int
    tokens: int
    state_hash: str
    shares: tuple[tuple[str, int], ...]
    steps: tuple[tuple[int, int], ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """The first leads."""
        return tuple(name for name, _ in self.shares)

    @property
    def num_steps(self) -> int:
        return self.step - self.first_step

    def __str__(self) -> str:
        return (
            f"round {self.round} of term {self.term} (steps {self.first_step} to {self.step}, {self.state_hash[:8]}, "
            f"{', '.join(self.members)})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """`faults` is empty for an exact run."""

    lineage: tuple[Committed, ...] = ()
    discarded: tuple[Committed, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        return not self.faults

    @property
    def steps(self) -> int:
        """The steps that count."""
        return self.lineage[-1].step if self.lineage else 0

    @property
    def discarded_tokens(self) -> int:
        """Tokens of committed rounds that do not count, by the average of those that do."""
        if not self.steps:
            return 0
        return sum(one.num_steps for one in self.discarded) * self.lineage[-1].tokens // self.steps


def audit_run(
    homes: Mapping[str, Path],
    run: str,
    last_step: int,
    batch_samples: int,
    excused: Set[str] = frozenset(),
) -> Audit:
    """Audit a run that has ended after `last_step` steps, whose members have these homes, by name.

    The records of the `excused`, devices that were down or frozen, may lack rounds. Checked:
    the rounds of the lineage follow each other from step 0 to `last_step`, and their tokens never fall; the shares of
    each make up the batch, or in a local round every step was taken by one member; every member of a round has recorded
    it; no member has recorded another round of the same term and number; the final models have the hash of the last
    round.
    """
    records = {name: read_records(home / "runs" / run / "events.jsonl") for name, home in homes.items()}
    lineage, faults = _lineage(records, last_step)
    faults += filter(None, (_badly_divided(record, batch_samples) for record in lineage))
    for one, other in itertools.pairwise(lineage):
        if other.tokens < one.tokens:
            faults.append(f"the tokens fall from {one.tokens} to {other.tokens}: {other}")
    faults += _members_that_differ(lineage, records, excused)
    if lineage:
        faults += _models_that_differ(homes, run, lineage[-1])
    discarded = {record for found in records.values() for record in found} - set(lineage)
    ordered = sorted(discarded, key=lambda record: (record.term, record.round, record.step))
    return Audit(lineage=tuple(lineage), discarded=tuple(ordered), faults=tuple(faults))


def _badly_divided(record: Committed, batch_samples: int) -> str | None:
    if record.steps:
        taken = sorted(step for start, stop in record.steps for step in range(start, stop))
        if taken != list(range(record.first_step, record.step)):
            return f"its members took the steps {record.steps}: {record}"
    elif record.num_steps and sum(share for _, share in record.shares) != batch_samples:
        return f"the shares {dict(record.shares)} do not add up to {batch_samples}: {record}"
    return None


def newest_committed(homes: Mapping[str, Path], run: str) -> Committed:
    """The last round that any member has recorded so far. Raises ValueError if there is none."""
    found = [record for home in homes.values() for record in read_records(home / "runs" / run / "events.jsonl")]
    return max(found, key=lambda record: (record.term, record.round, record.step))


def read_records(file: Path) -> list[Committed]:
    """The committed rounds of one member's log of events, in its order. A damaged line is left out (a power cut)."""
    if not file.exists():
        return []
    return list(_records(file.read_text(encoding="utf-8", errors="replace").splitlines()))


def _records(lines: Sequence[str]) -> Iterator[Committed]:
    for line in lines:
        try:
            plain: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        if plain.get("event") == "RoundCommitted" and "first_step" in plain:  # version 0.1 did not write it
            yield Committed(
                term=plain["term"],
                round=plain["round"],
                first_step=plain["first_step"],
                step=plain["step"],
                tokens=plain["tokens"],
                state_hash=plain["state_hash"],
                shares=tuple((member["name"], member["share"]) for member in plain["members"]),
                steps=tuple((start, stop) for member in plain["members"] for start, stop in member.get("steps", ())),
            )


def _lineage(records: Mapping[str, Sequence[Committed]], last_step: int) -> tuple[list[Committed], list[str]]:
    """The committed rounds that count, the first one first, and what is wrong with them."""
    ends = [record for found in records.values() for record in found if record.step == last_step]
    if not ends:
        return [], [f"no member has recorded a round that ends at step {last_step}"]
    record: Committed | None = max(ends, key=lambda record: (record.term, record.round))
    lineage: list[Committed] = []
    while record:
        lineage.append(record)
        record = _before(record, records)
    faults = [] if lineage[-1].first_step == 0 else [f"nothing was recorded before {lineage[-1]}"]
    return lineage[::-1], faults


def _before(record: Committed, records: Mapping[str, Sequence[Committed]]) -> Committed | None:
    """The round from whose state `record` went on: the last one before it in the log of its leader that ended at that
    step; in the logs of the other members, if the leader's has none. None for the start of the run.

    Members that had just joined may know none of it: then it is the newest of all that ended there.
    """
    if record.round == 0 and record.first_step == 0:
        return None
    for name in record.members:
        found = records.get(name, ())
        place = max((number for number, one in enumerate(found) if one == record), default=0)
        for earlier in reversed(found[:place]):
            if _may_precede(earlier, record):
                return earlier
    others = [one for found in records.values() for one in found if _may_precede(one, record)]
    return max(others, key=lambda one: (one.term, one.round), default=None)


def _may_precede(earlier: Committed, record: Committed) -> bool:
    """Round 0 has no steps: it commits the state that a run starts from, or is resumed from."""
    is_older = earlier.round < record.round or (record.round == 0 and earlier.term < record.term)
    return is_older and earlier.step == record.first_step and earlier.term <= record.term


def _members_that_differ(
    lineage: Sequence[Committed], records: Mapping[str, Sequence[Committed]], excused: Set[str]
) -> Iterator[str]:
    recorded: dict[tuple[int, int], list[tuple[str, Committed]]] = {}
    for name, found in records.items():
        for record in found:
            recorded.setdefault((record.term, record.round), []).append((name, record))
    for record in lineage:
        same_round = recorded[record.term, record.round]
        missing = set(record.members) - {name for name, other in same_round if other == record} - excused
        if missing:
            yield f"{', '.join(sorted(missing))} has not recorded {record}"
        for name, other in same_round:  # two leaders may have had the same term, each with members of its own
            if other != record and set(other.members) & set(record.members):
                yield f"{name} has recorded {other} instead of {record}"


def _models_that_differ(homes: Mapping[str, Path], run: str, last: Committed) -> Iterator[str]:
    """The members of the last round hold its checkpoint, if the run wrote one there."""
    for name in last.members:
        file = homes[name] / "models" / run / f"{last.step:09d}.json"
        if file.exists() and (found := json.loads(file.read_text(encoding="utf-8"))["state_hash"]) != last.state_hash:
            yield f"{name} holds a checkpoint {found[:8]} of {last}"
