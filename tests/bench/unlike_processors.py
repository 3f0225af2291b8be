"""Do members with unlike processors keep equal weights? Each optimiser takes equal gradients on simulated ones.

    python -m tests.bench.unlike_processors [--json FILE]

A process for each instruction set (ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL_CBWR limit what torch uses of this
processor)
applies the same 20 random gradients to the same weights. Shown: how many weights differ from the first process
and by how much at most.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from model.arithmetic.gpt import GPT
from model.arithmetic.state import new_state
from model.config import ModelConfig, TrainingConfig
from tests.bench.results import Results

PROCESSORS = {
    "avx512": ("avx512", "AVX512_CORE_BF16", "AVX512"),
    "avx512 without bf16": ("avx512", "AVX512_CORE", "AVX512"),
    "avx2": ("avx2", "AVX2", "AVX2"),
    "no vectors": ("default", "SSE41", "COMPATIBLE"),
}
WAYS = {
    "AdamW": ("adamw", torch.float32),
    "Muon, fp32": ("muon", torch.float32),
    "Muon, bf16": ("muon", torch.bfloat16),
}
NUM_STEPS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/unlike_processors.json"))
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        torch.save({way: trained_weights(*choice) for way, choice in WAYS.items()}, options.train)
        return 0
    results = Results(options.json)
    print(f"{NUM_STEPS} steps with equal gradients ({results.about()})\n")
    print(f"{'optimiser':<12} {'processor':<20} {'weights that differ':>20} {'largest difference':>20}")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        found = {name: run_on(name, Path(folder) / name) for name in PROCESSORS}
    first, *others = PROCESSORS
    for way in WAYS:
        for name in others:
            differences = (found[first][way] - found[name][way]).abs()
            share, most = float((differences > 0).double().mean()), float(differences.max())
            print(f"{way:<12} {name:<20} {share:>20.2%} {most:>20.2g}")
            figures[f"{way} on {name}"] = {"share": share, "largest": most}
    results.save(figures, {}, torch=torch.__version__)
    return 0


def run_on(processor: str, file: Path) -> dict[str, torch.Tensor]:
    """The weights of each way, trained in a process that uses this instruction set at most."""
    aten, onednn, mkl = PROCESSORS[processor]
    limits = {"ATEN_CPU_CAPABILITY": aten, "ONEDNN_MAX_CPU_ISA": onednn, "MKL_CBWR": mkl, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.bench.unlike_processors", "--train", str(file)]
    subprocess.run(command, env={**os.environ, **limits}, check=True)
    weights: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return weights


def trained_weights(optimizer: str, dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(1)
    config = ModelConfig(d_model=128, nhead=2, num_layers=2)
    state = new_state(GPT(config, 500), TrainingConfig(optimizer=optimizer), dtype)
    for _ in range(NUM_STEPS):
        for parameter in state.model.parameters():
            parameter.grad = torch.randn(parameter.shape)
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
        state.optimizer.step(1e-3)
    return torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])


if __name__ == "__main__":
    sys.exit(main())
