"""The end of every benchmark: percentiles of many values, a JSON file that names the machine, and kept logs."""

import json
import math
import os
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_QUIET_LOAD = 0.5


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile, maximum and count."""
    return {
        "p50": statistics.median(values),
        "p95": sorted(values)[math.ceil(0.95 * len(values)) - 1],
        "worst": max(values),
        "n": len(values),
    }


class Results:
    """Writes the results of one benchmark. Make it before the measurement, because it records the load at that time."""

    def __init__(self, path: Path) -> None:
        self.path, self.load_before = path, os.getloadavg()[0]

    def warn_if_busy(self) -> None:
        """Say so on standard error, if other programs use the processor while this one measures speed."""
        if self.load_before > _QUIET_LOAD:
            print(f"warning: the load is {self.load_before:.2f}; speeds measured now are too low", file=sys.stderr)

    def about(self) -> str:
        """The machine in a few words, for the title of a table."""
        return f"{os.cpu_count()} cores, load {self.load_before:.2f}"

    def save(self, figures: Mapping[str, Any], values: Mapping[str, Any], **more: Any) -> None:
        """Write the figures, the values they were made of, and the machine."""
        machine = {"cores": os.cpu_count(), "load_before": self.load_before, "load_after": os.getloadavg()[0]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"machine": machine, "figures": figures, "values": values, **more}, indent=1))


def keep_logs(homes: Mapping[str, Path], folder: Path) -> None:
    """Copy what agents logged, and what they recorded of the last run, from their homes (by name) to the folder."""
    for name, home in homes.items():
        kept = folder / name
        kept.mkdir(parents=True, exist_ok=True)
        newest = max(home.glob("runs/*/*.json*"), key=lambda path: path.stat().st_mtime, default=None)
        for file in (home / "logs" / "agent.log", *(newest.parent.glob("*.json*") if newest else ())):
            shutil.copy(file, kept)
