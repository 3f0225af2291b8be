"""Runs a training program in a process of its own, and measures it from outside: when each step ended, and its memory.

The program prints `@ {"step": n, "at": t}` after each step, where t is `time.monotonic()`, which on Linux is the same
clock in all processes. No torch here: a child's peak memory begins with that of its parent.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MARK = "@ "  # other lines are what libraries print


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One run of one way. Times are seconds after its process started; `steps` has (steps so far, time)."""

    steps: tuple[tuple[int, float], ...]
    peak_bytes: int
    facts: Mapping[str, object]

    @property
    def first_step_seconds(self) -> float:
        """From the start of the process to the end of its first step."""
        return self.steps[0][1]

    def tokens_per_second(self, tokens_per_step: int) -> float:
        """The median over the steps, without the first: it allocates memory, or compiles."""
        pairs = zip(self.steps[:-1], self.steps[1:], strict=True)
        return statistics.median(tokens_per_step * (n - m) / (t - s) for (m, s), (n, t) in pairs)

    def as_plain(self) -> dict[str, object]:
        return {"steps": self.steps, "peak_bytes": self.peak_bytes, "facts": dict(self.facts)}


def report(**plain: object) -> None:
    """Print one line for the process that watches this one."""
    print(_MARK + json.dumps(plain), flush=True)


def report_step(step: int) -> None:
    """Report the end of a step."""
    report(step=step, at=time.monotonic())


def watch(words: Sequence[str], environment: Mapping[str, str]) -> Watched:
    """Run `python WORDS` to its end, with `environment` added to this process's own. A reported `started` overrides
    when its clock starts.

    Raises RuntimeError, with what it printed last, if it fails or reports less than two steps.
    """
    started = time.monotonic()
    found, peak_bytes = reports_of(words, environment)
    facts = {name: fact for one in found if "step" not in one for name, fact in one.items()}
    started = float(facts.pop("started", started))
    steps = tuple((one["step"], one["at"] - started) for one in found if "step" in one)
    if len(steps) < 2:
        raise RuntimeError(f"{' '.join(words[:4])} took {len(steps)} steps")
    return Watched(steps=steps, peak_bytes=peak_bytes, facts=facts)


def reports_of(words: Sequence[str], environment: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
    """Run `python WORDS` to its end: what it reported, and its peak memory in bytes. Raises RuntimeError."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **environment},
        )
        assert process.stdout
        found = [json.loads(line.removeprefix(_MARK)) for line in process.stdout if line.startswith(_MARK)]
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        errors.seek(0)
        said = errors.read()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words[:4])} ended with {process.returncode}\n{said[-2000:]}")
    return found, usage.ru_maxrss * 1024
