"""Measures whether training needs memory for its text: anonymous memory of the trainer on gigabytes of tokens, over its
steps, and beside that on a hundredth of the tokens.

    python -m tests.bench.flat_memory [--gigabytes 5] [--steps 800] [--json FILE]

The tokens are random rows in one real shard, in a temporary folder that needs as much free disk. The trainer is the
real program, started as an agent starts it, with a tiny network. Anonymous memory (RssAnon in /proc/PID/status, Linux)
is what a process allocates. Pages of the mapped shard do not count: the system takes them back when it needs them.
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from tests.bench.program import training_program
from tests.bench.results import Results
from tests.bench.shards import Shape, write_random_project

SHAPE = Shape(d_model=32, nhead=2, num_layers=1, vocab_size=256)
SMALL_PART = 100
ROUND_STEPS = 25  # memory is read between rounds, when no step has allocated any
WARM_UP_SHARE = 0.2  # of the steps: until then memory is allocated for the first time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/flat_memory.json"))
    options = parser.parse_args()
    results = Results(options.json)
    with tempfile.TemporaryDirectory() as name:
        free = shutil.disk_usage(name).free
        if free < (options.gigabytes + 1) * 1e9:
            print(f"{name} has {free / 1e9:.1f} GB free: use fewer --gigabytes, or another TMPDIR", file=sys.stderr)
            return 1
        found = {
            gigabytes: asyncio.run(measure(Path(name), gigabytes, options.steps))
            for gigabytes in (options.gigabytes / SMALL_PART, options.gigabytes)
        }
    figures = {f"{gigabytes:g} GB": figures_of(samples, options.steps) for gigabytes, samples in found.items()}
    print(f"{results.about()}; {options.steps} steps of {SHAPE.batch_size} rows\n")
    print("| tokens | anonymous memory after the first steps (MB) | at the end | most | growth a step (bytes) |")
    print("|---|---|---|---|---|")
    for size, row in figures.items():
        print("| {} | {first:.1f} | {last:.1f} | {most:.1f} | {growth:.0f} |".format(size, **row))
    results.save(figures, {f"{gigabytes:g} GB": samples for gigabytes, samples in found.items()})
    return 0


async def measure(folder: Path, gigabytes: float, num_steps: int) -> list[tuple[int, int]]:
    """(steps so far, bytes of anonymous memory) of a trainer on so many tokens."""
    project = folder / "project"
    num_rows = int(gigabytes * 1e9 / 2 / (SHAPE.seq_len + 1))
    samples: list[tuple[int, int]] = []
    written = write_random_project(project, SHAPE, num_rows, epochs=1000, max_steps=num_steps)
    async with training_program(written, folder / "run", folder / "tuning.json") as program:
        while program.step < num_steps:
            await program.train(ROUND_STEPS)
            samples.append((program.step, anonymous_bytes(program.pid)))
    shutil.rmtree(project)
    shutil.rmtree(folder / "run")
    return samples


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def figures_of(samples: list[tuple[int, int]], num_steps: int) -> dict[str, float]:
    """Megabytes: the median of the first and of the last fifth after the warm-up; and the growth between them."""
    settled = [(step, size) for step, size in samples if step > WARM_UP_SHARE * num_steps]
    fifth = max(1, len(settled) // 5)
    (first_step, first), (last_step, last) = (
        (statistics.median(step for step, _ in some), statistics.median(size for _, size in some))
        for some in (settled[:fifth], settled[-fifth:])
    )
    return {
        "first": first / 1e6,
        "last": last / 1e6,
        "most": max(size for _, size in samples) / 1e6,
        "growth": (last - first) / max(1, last_step - first_step),
    }


if __name__ == "__main__":
    sys.exit(main())
