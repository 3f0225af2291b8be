"""One device of a peer of CellMind on Wi-Fi: `DistributedDataParallel` with the exchanges that PyTorch has, or DiLoCo.

    torchrun ... tests/bench/wifi/peers.py SETTING         SETTING as JSON (`ways.Setting`)

`tests.bench.wifi.run` starts it, by `torchrun` if there are several devices. A person would write it so, with the
product's own network, its rows in its order and its way to compute (precision and rows at a time are measured as a
CellMind device measures them), fused AdamW, a warm-up of 20 steps and then a constant rate, and clipped gradients. What
differs is the exchange.

The folder of the device gets `progress.json` (tokens so far, and when), now and then `weights.safetensors`, and `done`
with the last of them. When the folder of the meeting has a file `stop`, it ends at the next state that counts.
"""

import contextlib
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.nn.parallel import DistributedDataParallel

from cellmind_agent.planning.ledger import Ledger
from model.arithmetic.gpt import GPT
from model.config import Config, DatasetConfig, ModelConfig, TrainingConfig
from model.data import Batch, PackedData
from model.tensor_file import encode
from model.tuning.tune import Tuner
from tests.bench.shards import read_project
from tests.bench.small_run import ENDLESS_EPOCHS
from tests.bench.wifi.ways import (
    DONE,
    PROGRESS,
    SHAPE,
    SNAPSHOT,
    STOP,
    WEIGHTS,
    PeerWay,
    Setting,
    read_setting,
    spans_of,
)
from tokenizer.sharding.manifest import read_manifest

BETAS = (0.9, 0.95)
MAX_GRADIENT_NORM = 1.0
_OUTER_LR, _OUTER_MOMENTUM = 0.7, 0.9  # DiLoCo (Douillard et al. 2023)
_WARM_UP_STEPS = 20
_BUCKET_MB = 100  # more than all gradients
_POWER_SGD_START = 2  # the first step that is compressed; the least that error feedback allows
_PROGRESS_SECONDS = 0.25
_LINGER_SECONDS = 120.0  # it is killed long before


def main() -> int:
    setting = read_setting(sys.argv[1])
    if setting.way.kind == "hivemind":
        from tests.bench.wifi.with_hivemind import train_by_hivemind

        train_by_hivemind(Member(setting, setting.rank))
        return 0
    if setting.size > 1:
        dist.init_process_group("gloo")
    member = Member(setting, dist.get_rank() if setting.size > 1 else 0)
    (train_by_diloco if setting.way.kind == "diloco" else train_by_ddp)(member)
    return 0


class Member:
    """One device's part of a run: its network, its rows, and what it tells about itself."""

    def __init__(self, setting: Setting, rank: int) -> None:
        self.setting, self.rank, self.size = setting, rank, setting.size
        project = read_project(Path(setting.data))
        manifest = read_manifest(project.manifest)
        self._data = PackedData(manifest, project.shards, setting.seed)
        self._ledger = Ledger(
            num_samples=manifest.train.rows, batch_samples=SHAPE.batch_size, epochs=ENDLESS_EPOCHS, mode="local"
        )
        config = Config(
            model=ModelConfig(d_model=SHAPE.d_model, nhead=SHAPE.nhead, num_layers=SHAPE.num_layers, dropout=0.0),
            training=TrainingConfig(batch_size=SHAPE.batch_size, dataset=DatasetConfig(seq_len=SHAPE.seq_len)),
        )
        parts = self.size if setting.way.is_split else 1
        tuner = Tuner(config, manifest.vocab_size, [torch.device("cpu")], Path(setting.tuning), num_members=parts)
        tuning = tuner.tune()
        self._micro_batch = tuning.micro_batch
        torch.manual_seed(setting.seed)
        self.model = GPT(config.model, manifest.vocab_size)
        self.model.compute_dtype = tuning.torch_dtype
        self.model.train()
        self._tokens, self._noted, self._saved = 0, -_PROGRESS_SECONDS, time.monotonic()

    @property
    def is_asked_to_stop(self) -> bool:
        return (Path(self.setting.meeting) / STOP).exists()

    def rows(self, step: int) -> tuple[Batch, int]:
        """This device's rows of its step, and the targets of all rows that count as one batch with them."""
        own, whole = spans_of(self._ledger, step, self.rank, self.size, self.setting.way.is_split)
        return self._data.batch(own), self._data.num_targets(whole)

    def rate(self, step: int) -> float:
        """The learning rate of the run's step."""
        return self.setting.lr * min(1.0, (step + 1) / (_WARM_UP_STEPS + 1))

    def backward(self, module: nn.Module, batch: Batch, factor: float) -> None:
        """Add up the gradients of `factor` times the sum of the losses; DDP exchanges them in the last part."""
        parts = batch.split(self._micro_batch)
        for number, part in enumerate(parts, 1):
            is_waiting = isinstance(module, DistributedDataParallel) and number < len(parts)
            with module.no_sync() if is_waiting else contextlib.nullcontext():  # type: ignore[operator, unused-ignore]
                (module(*part) * factor).backward()

    def update(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Apply the gradients, and drop them."""
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        for group in optimizer.param_groups:
            group["lr"] = self.rate(step)
        optimizer.step()
        optimizer.zero_grad()

    def note(self, tokens: int) -> None:
        """So many tokens more are trained."""
        self._tokens += tokens
        now = time.monotonic()
        if now - self._noted >= _PROGRESS_SECONDS:
            self._noted = now
            self._write(PROGRESS, json.dumps({"at": now, "tokens": self._tokens}).encode())

    def save_sometimes(self) -> None:
        """Save the weights if that was long ago."""
        if time.monotonic() - self._saved >= self.setting.snapshot_seconds:
            self.save()

    def save(self) -> None:
        """Save the weights, with the time that they are of."""
        self._saved = time.monotonic()
        self._write(WEIGHTS, encode(self.model.state_dict()))
        self._write(SNAPSHOT, json.dumps({"at": self._saved}).encode())

    def end(self, is_saved: bool = True) -> None:
        """The state is the last one. Wait to be killed: a device that leaves would disturb the others."""
        if is_saved:
            self.save()
        self._noted = -_PROGRESS_SECONDS
        self.note(0)
        if is_saved:
            self._write(DONE, b"")
        time.sleep(_LINGER_SECONDS)

    def _write(self, name: str, content: bytes) -> None:
        part = Path(self.setting.folder) / f"{name}.part"
        part.write_bytes(content)
        os.replace(part, part.with_suffix(""))


def groups_of(model: nn.Module) -> list[dict[str, Any]]:
    """Weight decay for matrices alone, as is usual."""
    parameters = list(model.parameters())
    return [
        {"params": [each for each in parameters if each.dim() < 2], "weight_decay": 0.0},
        {"params": [each for each in parameters if each.dim() >= 2], "weight_decay": 0.1},
    ]


def new_adamw(model: nn.Module, lr: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(groups_of(model), lr=lr, betas=BETAS, fused=True)


def train_by_ddp(member: Member) -> None:
    """Gradients are averaged in every step. A run of one device has nothing to exchange."""
    module: nn.Module = member.model
    if member.size > 1:
        # One bucket: PowerSGD exchanges several buckets in another order on each rank, which gloo takes for a mistake.
        module = DistributedDataParallel(member.model, gradient_as_bucket_view=True, bucket_cap_mb=_BUCKET_MB)
        compress(module, member.setting.way)
        dist.barrier()
    optimizer, is_first = new_adamw(member.model, member.setting.lr), member.rank == 0
    member.note(0)
    for step in itertools.count():
        batch, num_targets = member.rows(step)
        parts = member.size if member.setting.way.is_split else 1
        member.backward(module, batch, parts / max(1, num_targets))
        member.update(optimizer, step)
        # A batch that is split counts once.
        member.note(num_targets if is_first or not member.setting.way.is_split else 0)
        if is_first:
            if member.is_asked_to_stop:
                member.end()
                return
            member.save_sometimes()


def compress(module: DistributedDataParallel, way: PeerWay) -> None:
    """Exchange gradients as the way says."""
    if way.compression == "bf16":
        module.register_comm_hook(None, in_bfloat16)
    elif way.compression == "PowerSGD":
        state = powerSGD_hook.PowerSGDState(
            process_group=None, matrix_approximation_rank=way.matrix_rank, start_powerSGD_iter=_POWER_SGD_START
        )
        module.register_comm_hook(state, powerSGD_hook.powerSGD_hook)


def in_bfloat16(state: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:  # type: ignore[name-defined]
    """PyTorch's own hook under another name: DDP refuses that name without an accelerator, though gloo can do it."""
    return default_hooks.bf16_compress_hook(None, bucket)  # type: ignore[arg-type]


def train_by_diloco(member: Member) -> None:
    """Each device takes a period of steps alone; then all take an outer step by the mean of what has changed."""
    if member.size > 1:
        dist.barrier()
    optimizer, outer = new_adamw(member.model, member.setting.lr), OuterStep(member.model)
    member.note(0)
    for step in itertools.count():
        batch, num_targets = member.rows(step)
        member.backward(member.model, batch, 1 / max(1, num_targets))
        member.update(optimizer, step)
        member.note(num_targets)
        is_stopping = member.is_asked_to_stop
        if is_stopping or (step + 1) % member.setting.way.period == 0:
            is_over = outer.take(is_stopping)
            if is_over:
                member.end(is_saved=member.rank == 0)
                return
            if member.rank == 0:
                member.save_sometimes()


class OuterStep:
    """DiLoCo's outer optimiser: SGD with Nesterov momentum on the weights of all, by the mean change as gradient."""

    def __init__(self, model: nn.Module) -> None:
        """The weights of all devices must be equal."""
        self._own = list(model.parameters())
        self._of_all = [nn.Parameter(parameter.detach().clone()) for parameter in self._own]
        self._optimizer = torch.optim.SGD(self._of_all, lr=_OUTER_LR, momentum=_OUTER_MOMENTUM, nesterov=True)

    @torch.no_grad()
    def take(self, is_stopping: bool = False) -> bool:
        """Put the weights of all after this step into the model. Returns whether any device is stopping."""
        changes = [(old - new).flatten() for old, new in zip(self._of_all, self._own, strict=True)]
        flat = torch.cat([*changes, torch.tensor([float(is_stopping)])])  # a flag travels with the changes
        if dist.is_initialized():
            dist.all_reduce(flat)
            flat /= dist.get_world_size()
        parts = torch.split(flat[:-1], [change.numel() for change in changes])
        for weight, change in zip(self._of_all, parts, strict=True):
            weight.grad = change.view_as(weight)
        self._optimizer.step()
        for own, weight in zip(self._own, self._of_all, strict=True):
            own.copy_(weight)
        return bool(flat[-1] > 0)


if __name__ == "__main__":
    sys.exit(main())
