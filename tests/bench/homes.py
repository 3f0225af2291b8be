"""Homes of two to a thousand devices, simulated by the product's planning on a virtual clock.

    python -m tests.bench.homes [--homes FILE] [--json FILE]

What `cellmindctl plan --simulate` prints, of the homes in `tests/bench/homes.json`. It takes about two minutes, because
the decisions of a leader of a thousand devices are made for each way to exchange. Prints a table, writes JSON.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from cellmind_ctl.simulating import HEADERS, Outcome, outcomes, read_homes, rows
from tests.bench.results import Results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homes", type=Path, default=Path(__file__).with_name("homes.json"))
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/homes.json"))
    options = parser.parse_args()
    results = Results(options.json)
    found: list[Outcome] = []
    print(f"| {' | '.join(HEADERS)} |\n{'|---' * len(HEADERS)}|")
    for home in read_homes(options.homes):
        made = list(outcomes(home))
        for row in rows(made):
            print(f"| {' | '.join(row)} |", flush=True)
        found += made
    results.save({"homes": sorted({one.home for one in found})}, {"outcomes": [asdict(one) for one in found]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
