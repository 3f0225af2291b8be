"""The ways to train on one Wi-Fi that `tests.bench.wifi` compares, what each of them reached, and the table of all.

No torch here: devices and the program that starts them share this file.
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.planning.ledger import Ledger
from model.line.training import Span
from tests.bench.shards import Shape

SHAPE = Shape(d_model=224, nhead=4, num_layers=4, vocab_size=4000, seq_len=128, batch_size=16)
# What the program of a device writes in its folder, and the file by which it is asked to stop.
DONE, PROGRESS, SNAPSHOT, STOP, WEIGHTS = "done", "progress.json", "snapshot.json", "stop", "weights.safetensors"
MUON_LR, ADAMW_LR = 0.003, 0.003
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # a device with a part of a core has no other core for a second thread


@dataclass(frozen=True, slots=True, kw_only=True)
class OurWay:
    """CellMind, in one of its modes, on one device or on all."""

    mode: Literal["ddp", "local"]
    is_alone: bool = False
    optimizer: Literal["muon", "adamw"] = "muon"

    @property
    def lr(self) -> float:
        """The rate, unless trials find a better one."""
        return MUON_LR if self.optimizer == "muon" else ADAMW_LR


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerWay:
    """A program of `peers`, with CellMind's network, rows and computing, AdamW, and an exchange of its own.

    `period` is the steps of each device between two averages. With `is_split` a batch is divided among the devices;
    else each device takes a whole batch in each of its steps.
    """

    kind: Literal["ddp", "diloco", "hivemind"]
    compression: Literal["fp32", "fp16", "bf16", "8 bit", "PowerSGD"] = "fp32"
    matrix_rank: int = 0  # of PowerSGD
    period: int = 1
    is_split: bool = False
    is_alone: bool = False
    has_local_updates: bool = True  # of hivemind: else it adds up gradients for a period, and averages those

    @property
    def lr(self) -> float:
        """The rate, unless trials find a better one."""
        return ADAMW_LR


Way = OurWay | PeerWay

WAYS: Mapping[str, Way] = {
    "CellMind, alone": OurWay(mode="ddp", is_alone=True),
    "CellMind, ddp": OurWay(mode="ddp"),
    "CellMind, local": OurWay(mode="local"),
    "CellMind, local, AdamW": OurWay(mode="local", optimizer="adamw"),
    "AdamW, alone": PeerWay(kind="ddp", is_alone=True),
    "DDP, fp32": PeerWay(kind="ddp", is_split=True),
    "DDP, bf16": PeerWay(kind="ddp", compression="bf16", is_split=True),
    "DDP, PowerSGD 4": PeerWay(kind="ddp", compression="PowerSGD", matrix_rank=4, is_split=True),
    "DDP, PowerSGD 32": PeerWay(kind="ddp", compression="PowerSGD", matrix_rank=32, is_split=True),
    "DDP, PowerSGD 4, a batch each": PeerWay(kind="ddp", compression="PowerSGD", matrix_rank=4),
    "DDP, PowerSGD 32, a batch each": PeerWay(kind="ddp", compression="PowerSGD", matrix_rank=32),
    "DiLoCo, H=100": PeerWay(kind="diloco", period=100),
    "DiLoCo, H=500": PeerWay(kind="diloco", period=500),
    "hivemind, local, 8 bit": PeerWay(kind="hivemind", compression="8 bit", period=100),
    "hivemind, local, fp16": PeerWay(kind="hivemind", compression="fp16", period=100),
    "hivemind, gradients, 8 bit": PeerWay(kind="hivemind", compression="8 bit", period=32, has_local_updates=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the program of one device needs to know. Under `torchrun` its rank is in the environment.

    `data` is the folder of the shards, `folder` is the device's own, `meeting` belongs to all devices of the run.
    """

    way: PeerWay
    lr: float
    seed: int
    data: str
    folder: str
    meeting: str
    tuning: str  # the file in which the device remembers how it computes fastest
    address: str
    rank: int
    size: int
    snapshot_seconds: float

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def read_setting(text: str) -> Setting:
    """The setting of `Setting.to_json`."""
    plain = json.loads(text)
    return Setting(**{**plain, "way": PeerWay(**plain["way"])})


def spans_of(ledger: Ledger, step: int, rank: int, size: int, is_split: bool) -> tuple[Span, Span]:
    """The rows of this rank in its step, and those of all ranks that count as one batch with them.

    Without `is_split` the ranks take the run's batches in turn, and only the own one counts.
    """
    epoch, start, stop = ledger.batch(step if is_split else step * size + rank)
    whole = Span(epoch=epoch, start=start, stop=stop)
    if not is_split:
        return whole, whole
    first, last = (start + place * (stop - start) // size for place in (rank, rank + 1))
    return Span(epoch=epoch, start=first, stop=last), whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What one way reached. Losses in nats a token, by the same judge for all; NaN if it failed, and then `fault` says
    why. `kept_loss` is that of the weights that CellMind keeps: the better ones of the live and the averaged."""

    lr: float
    seconds: float = 0.0
    tokens: int = 0
    sent_bytes: int = 0
    val_loss: float = math.nan
    kept_loss: float | None = None
    idle: float | None = None
    seconds_to_target: float | None = None
    fault: str = ""

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def sent_bytes_per_token(self) -> float:
        return self.sent_bytes / self.tokens if self.tokens else math.nan

    def as_plain(self) -> dict[str, object]:
        """All of it for a JSON file."""
        speeds = {"tokens_per_second": self.tokens_per_second, "sent_bytes_per_token": self.sent_bytes_per_token}
        return {**dataclasses.asdict(self), **speeds}


def reason_in(said: str) -> str:
    """The line of a program's last words that says why it ended: of the first error, since others follow from it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(\[rank\d+\]:\s*)?([\w.]+(Error|Exception)\b|what\(\):)", line)]
    return (errors or lines or ["it said nothing"])[0 if errors else -1]


def best_of(trials: Sequence[Reached]) -> Reached:
    """The trial with the lowest loss; of those without a loss, the first."""
    return min(trials, key=lambda trial: math.inf if math.isnan(trial.val_loss) else trial.val_loss)


def with_tuned_rate(rates: Sequence[float], run: Callable[[float], Reached]) -> tuple[float, list[Reached]]:
    """The rate whose trial has the lowest loss, and all trials."""
    trials = [run(rate) for rate in rates]
    return best_of(trials).lr, trials


def table(found: Mapping[str, Reached], target: float | None) -> str:
    """One row for each way."""
    columns = ["way", "tokens/s", "bytes sent a token", "tokens trained", "s", "held-out loss", "kept", "idle", "rate"]
    columns += [f"s to {target:g}"] if target is not None else []
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, one in found.items():
        if one.fault:
            lines.append(f"| {name} | failed: {one.fault.splitlines()[-1][:160]} {'| ' * (len(columns) - 1)}")
            continue
        cells = [name, f"{one.tokens_per_second:,.0f}", f"{one.sent_bytes_per_token:,.1f}", f"{one.tokens:,}"]
        cells += [f"{one.seconds:.0f}", f"{one.val_loss:.3f}"]
        cells += [
            "" if one.kept_loss is None else f"{one.kept_loss:.3f}",
            "" if one.idle is None else f"{one.idle:.1%}",
        ]
        cells += [f"{one.lr:g}"]
        if target is not None:
            cells.append("not reached" if one.seconds_to_target is None else f"{one.seconds_to_target:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
