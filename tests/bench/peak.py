"""The fastest that this machine multiplies matrices, in GFLOP/s on all cores. `tests.bench.training_speed` starts it.

python -m tests.bench.peak SHAPE [SECONDS]      SHAPE as JSON

Prints JSON: `peak` is the best of several large shapes in bfloat16, `peak_float32` the same in float32; `model` has the
products of the model's own forward pass in bfloat16, by name. Each shape is multiplied for SECONDS, and the best time
counts.
"""

import json
import sys
import time

import torch

from tests.bench.shards import Shape

LARGE = ((2048, 2048, 2048), (4096, 4096, 4096), (8192, 1024, 4096), (8192, 4096, 1024), (8192, 8192, 512))


def main() -> int:
    shape, seconds = Shape(**json.loads(sys.argv[1])), float(sys.argv[2]) if len(sys.argv) > 2 else 0.5
    found = {
        "peak": max(gflops(*large, torch.bfloat16, seconds) for large in LARGE),
        "peak_float32": max(gflops(*large, torch.float32, seconds) for large in LARGE[:2]),
        "model": {name: gflops(*own, torch.bfloat16, seconds) for name, own in shape.matrix_shapes().items()},
    }
    print(json.dumps(found))
    return 0


def gflops(rows: int, inner: int, columns: int, dtype: torch.dtype, seconds: float) -> float:
    """(rows, inner) times (inner, columns)."""
    a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    torch.mm(a, b, out=out)
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best / 1e9


if __name__ == "__main__":
    sys.exit(main())
