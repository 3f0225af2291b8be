"""The proof that a run has used every sample as often as it should (I2), from its committed rounds alone. Pure.

An epoch is a permutation of the samples, which the seed and the epoch give. A round takes ranges of positions in it,
and its commit marks them as used. So a sample counts once in an epoch if and only if its position is in one range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.planning.ranges import Range, Ranges
from cellmind_agent.protocol.limits import MAX_LOCAL_ROUND_STEPS, MAX_ROUND_STEPS
from cellmind_agent.protocol.messages import MemberProgress, RoundCommitted, SamplesAudit
from model.line.sentence import Sentence


class Used(NamedTuple):
    """The positions [start, stop) of an epoch's order that a member, or all together, took."""

    name: str
    epoch: int
    start: int
    stop: int


def audit(ledger: Ledger, rounds: Iterable[RoundCommitted]) -> SamplesAudit:
    """How often the samples were used by the committed rounds of one lineage, by each member's share of each step."""
    sets: Mapping[int, Ranges] = defaultdict(Ranges)
    twice: Mapping[int, list[Range]] = defaultdict(list)
    faults, end = [], 0
    for committed in rounds:
        if not 0 <= committed.first_step <= committed.step <= ledger.total_steps:
            faults.append(
                Sentence("round {round} of term {term} has no such steps", round=committed.round, term=committed.term)
            )
            continue
        end = max(end, committed.step)
        if not _is_divided(ledger, committed):
            fault = "round {round} of term {term} did not divide its samples among its members"
            faults.append(Sentence(fault, round=committed.round, term=committed.term))
            continue
        for one in _in_a_row(used_by(ledger, committed)):
            twice[one.epoch].extend(sets[one.epoch].add(one.start, one.stop))
    return _judged(ledger, end, sets, twice, faults)


def audit_steps(ledger: Ledger, steps: Iterable[Range], faults: Iterable[Sentence] = ()) -> SamplesAudit:
    """How often ranges of steps have used the samples, all members together. `faults` are known already."""
    sets: Mapping[int, Ranges] = defaultdict(Ranges)
    twice: Mapping[int, list[Range]] = defaultdict(list)
    end = 0
    for first, last in steps:
        end = max(end, last)
        for one in _used_by_all(ledger, first, last):
            twice[one.epoch].extend(sets[one.epoch].add(one.start, one.stop))
    return _judged(ledger, end, sets, twice, list(faults))


def used_by(ledger: Ledger, committed: RoundCommitted) -> Iterator[Used]:
    """What each member took in each step of a round. Raises ValueError if the steps were divided among nobody."""
    if _is_local(committed):
        for member, (first, stop) in sorted(_steps_of(committed), key=lambda one: one[1]):
            for step in range(first, stop):
                yield Used(member.name, *ledger.batch(step))
        return
    shares = tuple(member.share for member in committed.members)
    for epoch, parts in ledger.divide(committed.first_step, committed.step - committed.first_step, shares):
        for member, (start, stop) in zip(committed.members, parts, strict=True):
            yield Used(member.name, epoch, start, stop)


def _is_local(committed: RoundCommitted) -> bool:
    return any(member.steps for member in committed.members)


def _steps_of(committed: RoundCommitted) -> list[tuple[MemberProgress, Range]]:
    return [(member, steps) for member in committed.members for steps in member.steps]


def _is_divided(ledger: Ledger, committed: RoundCommitted) -> bool:
    """Whether the members took all of the round's steps, and nothing else."""
    num_steps = committed.step - committed.first_step
    if not num_steps:
        return True
    if num_steps > (MAX_LOCAL_ROUND_STEPS if _is_local(committed) else MAX_ROUND_STEPS):
        return False
    if _is_local(committed):
        return all(committed.first_step <= start <= stop <= committed.step for _, (start, stop) in _steps_of(committed))
    shares = [member.share for member in committed.members]
    return sum(shares) == ledger.batch_samples and min(shares) >= 0


def _in_a_row(used: Iterable[Used]) -> Iterator[Used]:
    """The same positions, with those as one range where the next one begins where the one before it ends."""
    row: Used | None = None
    for one in used:
        if row and row.epoch == one.epoch and row.stop == one.start:
            row = Used("", row.epoch, row.start, one.stop)
        else:
            if row:
                yield row
            row = one
    if row:
        yield row


def _used_by_all(ledger: Ledger, first: int, last: int) -> Iterator[Used]:
    """What the steps from `first` to `last` take: one range an epoch."""
    while first < last:
        epoch, start, _ = ledger.batch(first)
        until = min(last, (epoch + 1) * ledger.steps_per_epoch)
        yield Used("", epoch, start, ledger.batch(until - 1)[2])
        first = until


def _judged(
    ledger: Ledger, end: int, sets: Mapping[int, Ranges], twice: Mapping[int, list[Range]], faults: list[Sentence]
) -> SamplesAudit:
    """`end` steps were committed; `twice` are the positions that were used again, by epoch."""
    epoch, place = divmod(end, ledger.steps_per_epoch)
    counted = min(place * ledger.batch_samples, ledger.num_samples)
    missing = 0
    for before in range(epoch + 1):
        expected = ledger.num_samples if before < epoch else counted
        missing += sum(stop - start for start, stop in sets[before].missing(expected))
    for again, ranges in sorted(twice.items()):
        if ranges:
            count = sum(stop - start for start, stop in ranges)
            faults.append(Sentence("epoch {epoch} used {count} samples twice", epoch=again + 1, count=count))
    return SamplesAudit(
        num_samples=ledger.num_samples,
        batch_samples=ledger.batch_samples,
        num_epochs=ledger.epochs,
        epoch=epoch,
        num_counted=sets[epoch].count,
        num_missing=missing,
        faults=tuple(faults),
    )
