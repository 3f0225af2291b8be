"""One device that trains by hivemind's `Optimizer`, as its guide describes; `peers` runs it.

hivemind 1.1.12 needs `numpy<2.4` (its 8-bit compression fails with later ones), so it has a Python of its own:

    python -m venv FOLDER; FOLDER/bin/pip install -c constraints.txt ".[train]"
    FOLDER/bin/pip install hivemind==1.1.12 "numpy<2.4" torch==2.13.0

A period ends when all devices together have taken so many batches of rows. With local updates each device steps by
itself, and the weights are averaged at the end of the period, in the background. Else gradients are added up over the
period and averaged at its end, and all take one step. Matrices travel in 8 bits, or all in float16.
"""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hivemind  # type: ignore[import-not-found, unused-ignore]
import torch
from hivemind.compression import (  # type: ignore[import-not-found, unused-ignore]
    CompressionBase,
    Float16Compression,
    SizeAdaptiveCompression,
    Uniform8BitQuantization,
)
from torch import nn

from tests.bench.wifi.peers import BETAS, MAX_GRADIENT_NORM, Member, groups_of
from tests.bench.wifi.ways import SHAPE, PeerWay

_ADDRESSES, _PORT = "hivemind", 7500
_SMALL_VALUES = 2**16 + 1  # as in hivemind's own example: smaller tensors travel in float16
_START_SECONDS = 120.0
_LARGE_STEP = 4  # a step of a period's batches counts as so many of the warm-up
_MATCHMAKING_SECONDS, _AVERAGING_SECONDS = 3.0, 60.0  # for small local runs, says its guide: 3 to 5


class ClippedAdamW(torch.optim.AdamW):
    """Clips the gradients that it applies, which hivemind may have averaged just before."""

    def step(self, closure: Any = None) -> Any:
        nn.utils.clip_grad_norm_([each for group in self.param_groups for each in group["params"]], MAX_GRADIENT_NORM)
        return super().step(closure)


def train_by_hivemind(member: Member) -> None:
    """Until it is asked to stop; then every device saves its weights, and their mean counts."""
    way = member.setting.way
    optimizer = new_optimizer(member, meet(member))
    member.note(0)
    for step in itertools.count():
        batch, num_targets = member.rows(step)
        member.backward(member.model, batch, 1 / max(1, num_targets))
        for group in optimizer.opt.param_groups:
            group["lr"] = member.rate(step if way.has_local_updates else _LARGE_STEP * optimizer.local_epoch)
        optimizer.step()
        optimizer.zero_grad()
        member.note(num_targets)
        if member.is_asked_to_stop:
            member.end()
            return
        member.save_sometimes()


def meet(member: Member) -> Any:
    """The table of addresses (DHT) that all devices share. Returns when all have joined it. Raises TimeoutError."""
    setting, meeting = member.setting, Path(member.setting.meeting)
    first = meeting / _ADDRESSES
    if member.rank:
        wait_for_files([first])
    others = first.read_text().split() if member.rank else []
    dht = hivemind.DHT(start=True, host_maddrs=[f"/ip4/{setting.address}/tcp/{_PORT}"], initial_peers=others)
    if not member.rank:
        write_whole(first, " ".join(map(str, dht.get_visible_maddrs())))
    write_whole(meeting / f"{_ADDRESSES}-{member.rank}", "")
    wait_for_files([meeting / f"{_ADDRESSES}-{rank}" for rank in range(member.size)])
    return dht


def new_optimizer(member: Member, dht: Any) -> Any:
    """hivemind's optimiser around AdamW, as the way says."""
    way = member.setting.way
    coding = compression_of(way)
    return hivemind.Optimizer(
        dht=dht,
        run_id="wifi",
        target_batch_size=way.period * SHAPE.batch_size * member.size,
        batch_size_per_step=SHAPE.batch_size,
        params=groups_of(member.model),
        optimizer=lambda groups: ClippedAdamW(groups, lr=member.setting.lr, betas=BETAS),
        use_local_updates=way.has_local_updates,
        matchmaking_time=_MATCHMAKING_SECONDS,
        averaging_timeout=_AVERAGING_SECONDS,
        grad_compression=coding,
        state_averaging_compression=coding,
        load_state_compression=Float16Compression(),
        verbose=True,
    )


def compression_of(way: PeerWay) -> CompressionBase:
    """8 bits for large tensors, as in hivemind's own example, or float16 for all."""
    if way.compression == "8 bit":
        return SizeAdaptiveCompression(_SMALL_VALUES, Float16Compression(), Uniform8BitQuantization())
    return Float16Compression()


def wait_for_files(files: Sequence[Path]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not all(file.exists() for file in files):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_START_SECONDS:g} s for {files}")
        time.sleep(0.1)


def write_whole(file: Path, text: str) -> None:
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)
