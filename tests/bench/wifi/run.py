"""Runs of the peers that `tests.bench.wifi` compares: one program on each device, watched, and always ended."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.tensor_file import load
from tests.agents import ENVIRONMENT
from tests.bench.judge import Judge
from tests.bench.wifi.ways import (
    DONE,
    ONE_THREAD,
    PROGRESS,
    SNAPSHOT,
    STOP,
    WEIGHTS,
    PeerWay,
    Reached,
    Setting,
    reason_in,
)
from tests.lab.home import LabDevice

START_SECONDS = 600.0
_STOP_SECONDS = 180.0  # for a step of DDP, or an outer one
_END_SECONDS = 10.0
_POLL_SECONDS = 0.2
_PORT = 29400
_ROOT = Path(__file__).parents[3]
_PROGRAM = Path(__file__).with_name("peers.py")
_SNAPSHOT_SECONDS = 30.0  # as often as CellMind writes checkpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all ways have in common. `python` runs hivemind's program. `quick` judges some rows while devices train."""

    data: Path
    judge: Judge
    quick: Judge
    seconds: float
    target: float | None
    seed: int
    python: str

    def is_reached(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether these weights have the target's loss on some rows."""
        return self.target is not None and self.quick.nats_per_token(weights) <= self.target


class PeerRun:
    """One run of a peer on these devices. Use as a context manager, which kills every process on them."""

    def __init__(self, devices: Sequence[LabDevice], folder: Path, way: PeerWay, lr: float, plan: Plan) -> None:
        self._devices, self._folder, self._way = devices, folder, way
        self._processes: list[subprocess.Popen[bytes]] = []
        self._judged_at = 0.0
        (folder / "meeting").mkdir(parents=True)
        for rank, device in enumerate(devices):
            own = folder / device.name
            own.mkdir()
            setting = Setting(
                way=way,
                lr=lr,
                seed=plan.seed,
                data=str(plan.data),
                folder=str(own),
                meeting=str(folder / "meeting"),
                tuning=str(device.home / "peer-tuning.json"),
                address=device.address,
                rank=rank,
                size=len(devices),
                snapshot_seconds=_SNAPSHOT_SECONDS,
            )
            words = [*self._launcher(rank, plan.python), str(_PROGRAM), setting.to_json()]
            variables = {"PYTHONPATH": str(_ROOT), "GLOO_SOCKET_IFNAME": "eth0", **ONE_THREAD}
            with open(own / "screen.txt", "wb") as screen:
                self._processes.append(
                    subprocess.Popen(
                        [*device.prefix, *words], stdout=screen, stderr=screen, env={**ENVIRONMENT, **variables}
                    )
                )

    def __enter__(self) -> "PeerRun":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        deadline = time.monotonic() + _END_SECONDS
        for device, process in zip(self._devices, self._processes, strict=True):
            device.power_cut()
            process.wait()
            while device.processes() and time.monotonic() < deadline:  # what was started just then
                device.power_cut()
                time.sleep(_POLL_SECONDS)

    @property
    def tokens(self) -> int:
        """The tokens that all devices together have trained."""
        return sum(json.loads(file.read_text())["tokens"] for file in self._files(PROGRESS))

    def wait_until_training(self) -> float:
        """When all devices were ready for their first step. Raises RuntimeError."""
        self._wait(lambda: len(self._files(PROGRESS)) == len(self._devices), "all to be ready", START_SECONDS)
        return time.monotonic()

    def train(self, plan: Plan) -> float | None:
        """Let them train for the plan's seconds, or until the target is reached, and then return when that was.

        Raises RuntimeError.
        """
        started = time.monotonic()
        while time.monotonic() - started < plan.seconds:
            self._check()
            reached = None if plan.target is None else self._reached(plan)
            if reached is not None:
                return reached
            time.sleep(_POLL_SECONDS)
        return None

    def finish(self) -> float:
        """Ask all to stop, and wait for the last weights. Returns when they were complete. Raises RuntimeError."""
        (self._folder / "meeting" / STOP).touch()
        count = len(self._devices) if self._way.kind == "hivemind" else 1
        self._wait(lambda: len(self._files(DONE)) >= count, "the last weights", _STOP_SECONDS)
        return max(self._times())

    def weights(self) -> Mapping[str, Tensor]:
        """The newest weights: the mean, if several devices have saved theirs."""
        found = [load(file) for file in self._files(WEIGHTS)]
        return {name: torch.stack([one[name] for one in found]).mean(0) for name in found[0]}

    def _launcher(self, rank: int, python: str) -> tuple[str, ...]:
        """The words before the program's own."""
        if self._way.kind == "hivemind":
            return (python,)
        if len(self._devices) == 1:
            return (sys.executable,)
        return (
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes", str(len(self._devices))),
            *("--nproc-per-node", "1", "--max-restarts", "0", "--rdzv-backend", "c10d", "--rdzv-id", "wifi"),
            *("--rdzv-endpoint", f"{self._devices[0].address}:{_PORT}", "--rdzv-conf", f"is_host={int(rank == 0)}"),
            *("--local-addr", self._devices[rank].address),
        )

    def _files(self, name: str) -> list[Path]:
        files = [self._folder / device.name / name for device in self._devices]
        return [file for file in files if file.exists()]

    def _times(self) -> list[float]:
        """Of when the saved weights are."""
        return [json.loads(file.read_text())["at"] for file in self._files(SNAPSHOT)]

    def _reached(self, plan: Plan) -> float | None:
        """When the newest weights were saved, if they are new and reach the target."""
        newest = max(self._times(), default=0.0)
        if newest <= self._judged_at:
            return None
        self._judged_at = newest
        return newest if plan.is_reached(self.weights()) else None

    def _wait(self, is_true: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not is_true():
            self._check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {seconds:g} s for {what}")
            time.sleep(_POLL_SECONDS / 4)

    def _check(self) -> None:
        """Raises RuntimeError, with the last words of a program that has ended."""
        for device, process in zip(self._devices, self._processes, strict=True):
            if process.poll() is not None:
                said = (self._folder / device.name / "screen.txt").read_text(errors="replace")
                raise RuntimeError(f"{device.name} ended with {process.returncode}: {reason_in(said)}")


def train_peer(devices: Sequence[LabDevice], folder: Path, way: PeerWay, lr: float, plan: Plan) -> Reached:
    """One run of a peer, with its own start. Raises RuntimeError if a program of it fails."""
    chosen = devices[:1] if way.is_alone else devices
    with PeerRun(chosen, folder, way, lr, plan) as run:
        started, sent = run.wait_until_training(), sent_by(devices)
        reached = run.train(plan)
        ended = run.finish()
        sent = sent_by(devices) - sent
        tokens, weights = run.tokens, run.weights()
    reached = ended if reached is None and plan.is_reached(weights) else reached
    return Reached(
        lr=lr,
        seconds=ended - started,
        tokens=tokens,
        sent_bytes=sent,
        val_loss=plan.judge.nats_per_token(weights),
        seconds_to_target=None if reached is None else reached - started,
    )


def sent_by(devices: Sequence[LabDevice]) -> int:
    """What the devices have sent on their network interfaces so far, in bytes."""
    return sum(sent_bytes(device) for device in devices)


def sent_bytes(device: LabDevice) -> int:
    """What the device has sent on its network interface so far."""
    lines = device.run("cat", "/proc/net/dev").stdout.splitlines()
    (line,) = (line for line in lines if line.strip().startswith("eth0:"))
    return int(line.split()[9])
