"""The same churn for `torchrun` with elastic restarts, in the same simulated home.

Each device runs `torchrun --nnodes=1:4 --rdzv-backend=c10d --max-restarts=1000` with a rendezvous on the first device.
Its time-outs are shorter than its defaults, to its advantage: a dead node is dropped after 6 s (15), and a rendezvous
waits 3 s for more nodes (30). A supervisor starts a `torchrun` again one second after it ended by itself.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.agents import ENVIRONMENT
from tests.bench.shards import Shape
from tests.lab.home import LabDevice

PROGRESS = "progress.json"
CHECKPOINT_SECONDS = 30.0  # as the product's
_PORT = 29400
_RESTART_SECONDS = 1.0
_CONF = "last_call_timeout=3,keep_alive_interval=2,keep_alive_max_attempt=3"
_ROOT = Path(__file__).parents[2]
_WORKER = Path(__file__).with_name("elastic_worker.py")


@dataclass(frozen=True, slots=True, order=True)
class Noted:
    """How far a worker was `at` a moment, by `time.monotonic()`."""

    at: float
    step: int
    ranks: int


@dataclass(kw_only=True)
class _Node:
    device: LabDevice
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    ended_at: float = 0.0
    is_down: bool = False


class ElasticRun:
    """One run on these devices; the first has the rendezvous. Use as a context manager, which ends it."""

    def __init__(self, devices: Sequence[LabDevice], folder: Path, shape: Shape) -> None:
        self._shape = shape
        self._host = devices[0]
        self._nodes = {device.name: _Node(device=device, folder=folder / device.name) for device in devices}
        for node in self._nodes.values():
            node.folder.mkdir(parents=True)
            self._start(node)

    def __enter__(self) -> "ElasticRun":
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._nodes:
            self.kill(name)

    @property
    def latest(self) -> Noted:
        """The progress of the worker that has noted it last."""
        files = [node.folder / PROGRESS for node in self._nodes.values()]
        return max([noted(file) for file in files if file.exists()], default=Noted(0.0, 0, 0))

    def kill(self, name: str) -> None:
        """Kill every process of the device."""
        node = self._nodes[name]
        node.is_down = True
        node.device.power_cut()
        if node.process:
            node.process.wait()
            node.process = None

    def switch_on(self, name: str) -> None:
        self._nodes[name].is_down = False
        self._start(self._nodes[name])

    def supervise(self) -> None:
        """Start again what has ended by itself. Call it often."""
        for node in self._nodes.values():
            if node.process and node.process.poll() is not None:
                node.process, node.ended_at = None, time.monotonic()
            if not node.process and not node.is_down and time.monotonic() - node.ended_at > _RESTART_SECONDS:
                self._start(node)

    def _start(self, node: _Node) -> None:
        is_host = int(node.device is self._host)
        words = (
            *(sys.executable, "-m", "torch.distributed.run", "--nnodes", f"1:{len(self._nodes)}"),
            *("--nproc-per-node", "1", "--max-restarts", "1000", "--rdzv-backend", "c10d", "--rdzv-id", "churn"),
            *("--rdzv-endpoint", f"{self._host.address}:{_PORT}", "--local-addr", node.device.address),
            *("--rdzv-conf", f"{_CONF},is_host={is_host}", str(_WORKER), self._shape.to_json(), str(node.folder)),
            str(CHECKPOINT_SECONDS),
        )
        variables = {"PYTHONPATH": str(_ROOT), "GLOO_SOCKET_IFNAME": "eth0"}
        with open(node.folder / "screen.txt", "ab") as screen:
            node.process = subprocess.Popen(
                [*node.device.prefix, *words], stdout=screen, stderr=screen, env={**ENVIRONMENT, **variables}
            )


def noted(file: Path) -> Noted:
    """What a worker has noted in its file."""
    return Noted(**json.loads(file.read_text()))


def worker_alone(device: LabDevice, folder: Path, shape: Shape) -> subprocess.Popen[bytes]:
    """The worker as the only rank of a run, to measure the device's speed. It never ends."""
    folder.mkdir(parents=True)
    rank = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_PORT)}
    words = (sys.executable, str(_WORKER), shape.to_json(), str(folder), str(CHECKPOINT_SECONDS))
    with open(folder / "screen.txt", "wb") as screen:
        return subprocess.Popen(
            [*device.prefix, *words],
            stdout=screen,
            stderr=screen,
            env={**ENVIRONMENT, **rank, "PYTHONPATH": str(_ROOT)},
        )
