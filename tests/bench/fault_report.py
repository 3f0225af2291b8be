"""The outcomes of `tests.bench.faults`, in lines and in a table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.fault_kinds import FAULTS, PHASES
from tests.bench.results import Results, spread

BACK_SECONDS = 30.0  # the target


@dataclass(kw_only=True)
class Outcome:
    """What became of one run. Seconds are None for what did not happen."""

    fault: str
    phase: str
    seed: str
    hit: bool = False  # the fault struck within the phase
    went_on: bool = False
    recovery_seconds: float | None = None
    redone_tokens: int = 0
    was_out: bool = False  # the others trained without the device
    back_seconds: float | None = None
    discarded_rounds: int = 0
    audit_faults: Sequence[str] = ()
    is_exact: bool = False
    error: str = ""


def show(outcome: Outcome) -> str:
    """One line about one run."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    end = "exact" if outcome.is_exact else f"NOT EXACT {'; '.join(outcome.audit_faults)[:200]}"
    return (
        f"{outcome.fault:<20} {outcome.phase:<14} {'' if outcome.hit else '(missed) '}"
        f"{'went on' if outcome.went_on else 'ENDED'}  again {number(outcome.recovery_seconds)} s  "
        f"redone {outcome.redone_tokens}  back {number(outcome.back_seconds)} s  {end}  {outcome.error[:300]}"
    )


def read_outcomes(path: Path) -> list[Outcome]:
    """Those of an earlier run; none without a file."""
    if not path.exists():
        return []
    return [Outcome(**plain) for plain in json.loads(path.read_text())["values"]["runs"]]


def save(outcomes: Sequence[Outcome], results: Results) -> None:
    rows = table(outcomes)
    results.save({f"{row['fault']}, {row['phase']}": row for row in rows}, {"runs": [asdict(one) for one in outcomes]})


def table(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each fault and phase that was tried."""
    rows = []
    for fault in FAULTS:
        for phase in PHASES:
            cell = [outcome for outcome in outcomes if (outcome.fault, outcome.phase) == (fault.name, phase)]
            if cell:
                rows.append({"fault": fault.name, "phase": phase, **figures(cell)})
    return rows


def report(outcomes: Sequence[Outcome], results: Results) -> None:
    rows = table(outcomes)
    save(outcomes, results)
    print(f"\nthree devices, links of 100 Mbit/s, {results.about()}")
    print(
        "| fault | phase | went on | train again p50 (s) | worst | redone tokens p50 | back p50 (s) | worst | exact |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['fault']} | {row['phase']} | {row['went_on']} of {row['n']} | {seconds(row['recovery'], 'p50')} "
            f"| {seconds(row['recovery'], 'worst')} | {row['redone']['p50']:,.0f} | {seconds(row['back'], 'p50')} "
            f"| {seconds(row['back'], 'worst')} | {row['exact']} of {row['n']} |"
        )
    outside = sum(not outcome.hit for outcome in outcomes)
    late = sum(one.was_out and (one.back_seconds is None or one.back_seconds > BACK_SECONDS) for one in outcomes)
    print(f"{len(outcomes)} runs; {outside} faults struck outside their phase; {late} devices were not back in time")


def figures(cell: Sequence[Outcome]) -> dict[str, Any]:
    """What the runs of one fault and phase have in common."""
    recovery = [outcome.recovery_seconds for outcome in cell if outcome.recovery_seconds is not None]
    back = [outcome.back_seconds for outcome in cell if outcome.back_seconds is not None]
    return {
        "n": len(cell),
        "hit": sum(outcome.hit for outcome in cell),
        "went_on": sum(outcome.went_on for outcome in cell),
        "exact": sum(outcome.is_exact for outcome in cell),
        "was_out": sum(outcome.was_out for outcome in cell),
        "recovery": spread(recovery) if recovery else None,
        "back": spread(back) if back else None,
        "redone": spread([outcome.redone_tokens for outcome in cell]),
    }


def seconds(found: dict[str, float] | None, name: str) -> str:
    return "" if found is None else f"{found[name]:.1f}"
