"""What every benchmark ends with: figures of many values, and a file that says on which machine they were measured."""

import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "p50": statistics.median(values),
        "p95": sorted(values)[math.ceil(0.95 * len(values)) - 1],
        "worst": max(values),
        "n": len(values),
    }


class Results:
    """Make it before measuring: it keeps the load that the machine had then."""

    def __init__(self, path: Path) -> None:
        self.path, self.load_before = path, os.getloadavg()[0]

    def about(self) -> str:
        return f"{os.cpu_count()} cores, load {self.load_before:.2f}"

    def save(self, figures: Mapping[str, Any], values: Mapping[str, Any], **more: Any) -> None:
        machine = {"cores": os.cpu_count(), "load_before": self.load_before, "load_after": os.getloadavg()[0]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"machine": machine, "figures": figures, "values": values, **more}, indent=1))
