"""How long a person waits for help, in both languages.

    python -m tests.bench.startup [--repeats 20] [--json FILE]

Each command runs once before, so that Python has compiled its files, as after an installation. The processor's time
does not depend on what else runs on the machine. Prints a table, writes JSON.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.agents import CTL, ENVIRONMENT
from tests.bench.results import Results, spread

TARGET_MS = 150
COMMANDS = {
    "bare `python -c pass`": (sys.executable, "-c", "pass"),
    "`cellmindctl --help`": (*CTL, "--help"),
    "`cellmindctl train --help`": (*CTL, "train", "--help"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/startup.json"))
    options = parser.parse_args()
    results = Results(options.json)
    results.warn_if_busy()
    values: dict[str, list[float]] = {}
    print(f"{results.about()}\n| command | language | p50 (ms) | p95 | processor p50 (ms) |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as compiled:
        for name, command in COMMANDS.items():
            for language in ("en", "ko"):
                runs = [once(command, language, compiled) for _ in range(options.repeats + 1)][1:]
                waited, computed = ([run[place] for run in runs] for place in (0, 1))
                values[f"{name}, {language}"], values[f"{name}, {language}, processor"] = waited, computed
                row = spread(waited)
                print(f"| {name} | {language} | {row['p50']:.0f} | {row['p95']:.0f} | {spread(computed)['p50']:.0f} |")
    results.save({name: spread(found) for name, found in values.items()}, values, target_ms=TARGET_MS)
    return 0


def once(command: tuple[str, ...], language: str, compiled: str) -> tuple[float, float]:
    """The milliseconds that a command takes, and those of the processor."""
    kept = {name: value for name, value in ENVIRONMENT.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "CELLMIND_LANG": language, "PYTHONPYCACHEPREFIX": compiled}
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return 1000 * elapsed, 1000 * (usage.ru_utime + usage.ru_stime)


if __name__ == "__main__":
    sys.exit(main())
