"""Measures how fast one device trains, beside a plain PyTorch loop and Hugging Face's `Trainer`, and beside the fastest
that its processor multiplies matrices.

    python -m tests.bench.training_speed [--quick] [--rounds 3] [--steps 8] [--json FILE]

The network, the batch and the rows are the same for all: the reference size, on random tokens. Each way trains in a
process of its own: CellMind's is the real trainer, started as an agent starts it. First every way to use `Trainer`
runs once, and the fastest without and the fastest with torch.compile are its best; then all ways take turns, round by
round, and the figures are medians of the rounds. `Trainer` needs `pip install -c constraints.txt ".[bench]"`.

Achieved FLOP/s = tokens/s * (6 * weights of matrices + 6 * layers * sequence * width). The table that is embedding and
head counts once, and attention by half, because of its causal mask. The peak is the best matrix product in bfloat16,
of several large shapes and the model's own.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellmind_agent.runs.environment import trainer_environment
from tests.bench.results import Results
from tests.bench.shards import Shape, write_random_project
from tests.bench.watched import Watched, watch
from tests.bench.ways import WAYS

QUICK_SHAPE = Shape(d_model=128, nhead=4, num_layers=2, vocab_size=2000, seq_len=64, batch_size=16)
OURS = "cellmind"
GOALS = {"plain": 1.9, "trainer": 1.3}
PEAK_GOAL, MEMORY_GOAL_BYTES = 0.75, 2.5e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the ways find their rows, and what they train."""

    folder: Path
    shape: Shape
    num_steps: int

    def run(self, way: str) -> Watched:
        # The plain loop is much slower: half of the steps are enough for a median.
        num_steps = max(3, self.num_steps // 2) if way == "plain" else self.num_steps
        words = ["-m", "tests.bench.ways", way, str(self.folder / way), self.shape.to_json(), str(num_steps)]
        write_random_project(self.folder / way, self.shape, 8 * self.shape.batch_size)
        environment = {"TORCHINDUCTOR_CACHE_DIR": str(self.folder / "compiled")}
        found = watch(words, environment)
        rate = found.tokens_per_second(self.shape.tokens_per_step)
        print(f"{way:<24}{rate:8.0f} tokens/s, first step after {found.first_step_seconds:.1f} s", file=sys.stderr)
        return found

    def json_of(self, module: str, *words: str) -> Any:
        command = [sys.executable, "-m", f"tests.bench.{module}", *words]
        ours = trainer_environment(os.environ, sys.platform) if OURS in words else {}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **ours})
        return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a tiny network in one round: only shows that all ways run"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/training_speed.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    shape, num_rounds = (QUICK_SHAPE, 1) if options.quick else (Shape(), options.rounds)
    with tempfile.TemporaryDirectory() as name:
        place = Place(folder=Path(name), shape=shape, num_steps=options.steps)
        trials = {way: place.run(way) for way in WAYS if way.startswith("trainer")}
        ways = ["plain", *best_of(trials, shape), *(way for way in WAYS if way.startswith(OURS))]
        rounds: list[dict[str, Watched]] = []
        peaks = []
        for _ in range(num_rounds):
            peaks.append(place.json_of("peak", shape.to_json()))
            rounds.append({way: place.run(way) for way in ways})
        parts = {
            way: place.json_of("step_parts", way, str(place.folder / way), shape.to_json()) for way in ("plain", OURS)
        }
    peak = statistics.median(max(one["peak"], *one["model"].values()) for one in peaks) * 1e9
    figures = {
        way: figures_of([one[way] for one in rounds], [one[OURS] for one in rounds], shape, peak) for way in ways
    }
    show(results, figures, peaks, peak, parts)
    print("\nall ways to use `Trainer`, one run each: tokens/s, s to the first step (compiling included)")
    for way, trial in trials.items():
        print(f"{way:<24}{trial.tokens_per_second(shape.tokens_per_step):8.0f}{trial.first_step_seconds:8.1f}")
    results.save(
        {"ways": figures, "peak_flops": peak, "parts": parts},
        {
            "peaks": peaks,
            "rounds": [{way: one.as_plain() for way, one in some.items()} for some in rounds],
            "trials": {way: one.as_plain() for way, one in trials.items()},
        },
        shape=shape.to_json(),
        flop_per_token=shape.flop_per_token,
    )
    return 0


def best_of(trials: Mapping[str, Watched], shape: Shape) -> list[str]:
    """The fastest way without torch.compile, then the fastest with it."""
    rates = {way: one.tokens_per_second(shape.tokens_per_step) for way, one in trials.items()}
    compiled = [way for way in rates if "compiled" in way]
    eager = [way for way in rates if way not in compiled]
    return [max(some, key=lambda way: rates[way]) for some in (eager, compiled)]


def figures_of(runs: Sequence[Watched], ours: Sequence[Watched], shape: Shape, peak: float) -> dict[str, float]:
    """Medians over the rounds; `ratio` is ours to this way, each in its own round."""
    rates = [one.tokens_per_second(shape.tokens_per_step) for one in runs]
    our_rates = [one.tokens_per_second(shape.tokens_per_step) for one in ours]
    rate = statistics.median(rates)
    return {
        "tokens_per_second": rate,
        "lowest": min(rates),
        "highest": max(rates),
        "ratio": statistics.median(our / rate for our, rate in zip(our_rates, rates, strict=True)),
        "first_step_seconds": statistics.median(one.first_step_seconds for one in runs),
        "peak_bytes": max(one.peak_bytes for one in runs),
        "share_of_peak": rate * shape.flop_per_token / peak,
    }


def show(
    results: Results,
    figures: Mapping[str, Mapping[str, float]],
    peaks: Sequence[Mapping[str, Any]],
    peak: float,
    parts: Mapping[str, Any],
) -> None:
    print(f"{results.about()}; bfloat16 at most {peak / 1e9:.0f} GFLOP/s (in the rounds: ", end="")
    print(", ".join(f"{max(one['peak'], *one['model'].values()):.0f}" for one in peaks), end=")\n\n")
    print("| way | tokens/s | lowest and highest | CellMind to this | goal | first step (s) | most MB | of the peak |")
    print("|---|---|---|---|---|---|---|---|")
    for way, row in figures.items():
        goal = next((f"{goal:.1f}" for name, goal in GOALS.items() if way.startswith(name)), "")
        print(
            "| {} | {tokens_per_second:,.0f} | {lowest:,.0f} to {highest:,.0f} | {ratio:.2f} | {} "
            "| {first_step_seconds:.1f} | {:,.0f} | {share_of_peak:.0%} |".format(
                way, goal, row["peak_bytes"] / 1e6, **row
            )
        )
    print(f"\ngoals of CellMind: {PEAK_GOAL:.0%} of the peak, less than {MEMORY_GOAL_BYTES / 1e6:,.0f} MB")
    print(f"\n| part of a step | {' | '.join(parts)} |\n|---|{'---|' * len(parts)}")
    for part in next(iter(parts.values()))["shares"]:
        print(f"| {part} | " + " | ".join(f"{one['shares'][part]:.0%}" for one in parts.values()) + " |")


if __name__ == "__main__":
    sys.exit(main())
