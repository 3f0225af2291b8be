"""A simulated home: devices with agents, on a private network that can be made as bad as real ones are."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.agents import Cell, Device
from tests.lab import network
from tests.lab.network import Network, Port

AGENT_PORT = 7420
_NO_LIMIT = math.inf
_ENTER = 'for group in $LAB_GROUPS; do echo $$ > "$group/cgroup.procs"; done; exec ip netns exec "$LAB_SPACE" "$@"'


@dataclass(kw_only=True)
class LabDevice(Device):
    """A device of a simulated home."""

    plug: Port
    has_probed_gloo: bool = False
    groups: dict[str, Path] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.plug.address

    def processes(self) -> list[int]:
        """The ids of all processes on the device."""
        if self.groups:
            return [int(text) for text in (next(iter(self.groups.values())) / "cgroup.procs").read_text().split()]
        return [int(text) for text in network.run("ip", "netns", "pids", self.plug.namespace).split()]

    def signal(self, number: int) -> None:
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def lid_closes(self) -> None:
        """Every process stops, without a goodbye."""
        self.signal(signal.SIGSTOP)

    def lid_opens(self) -> None:
        self.signal(signal.SIGCONT)

    def power_cut(self) -> None:
        """Every process is killed, without a goodbye."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def trainers(self) -> list[int]:
        """The ids of the training programs on the device."""
        return [process for process in self.processes() if b"model.train" in _command_line(process)]

    def set_cpu(self, cores: float | None) -> None:
        """Limit the device to a share of one core, or lift the limit. Raises RuntimeError where that is impossible."""
        _limit(self.groups, _NO_LIMIT if cores is None else cores, None)

    def run(self, *words: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run any command on the device to its end."""
        return subprocess.run([*self.prefix, *words], capture_output=True, text=True, timeout=timeout, check=False)

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        """Start any command on the device."""
        return subprocess.Popen([*self.prefix, *words], stdout=subprocess.PIPE, text=True)


class Home:
    """Use as a context manager, which always cleans up. The next home removes whatever a crashed one has left."""

    def __init__(
        self, folder: Path, link: str | None = None, shared: str | None = None, is_relayed: bool = False
    ) -> None:
        """The network is that of `Network`. Raises RuntimeError on a machine that cannot make it."""
        why_not = network.why_not_here()
        if why_not:
            raise RuntimeError(why_not)
        network.sweep()
        self.lab = f"cm{secrets.token_hex(3)}"
        network.register(self.lab)
        self.cell = Cell(folder)
        self.network = Network(self.lab, link, shared, is_relayed)
        self.devices: dict[str, LabDevice] = {}

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def device(
        self,
        name: str,
        *options: str,
        is_running: bool = True,
        cpu: float | None = None,
        memory_bytes: int | None = None,
        disk_bytes: int | None = None,
        delay_seconds: float = 0.0,
        loss: float = 0.0,
        link: str | None = None,
        environment: dict[str, str] | None = None,
        paths: Sequence[Path] = (),
        has_probed_gloo: bool = False,
        is_wired: bool = False,
    ) -> LabDevice:
        """A new device. `cpu` is its share of one core, `disk_bytes` the size of the disk that its home is on; without
        `options` it uses mDNS, as any device does."""
        port = self.network.plug(name, delay_seconds, loss, link, is_wired)
        groups = network.control_groups(self.lab, name)
        _limit(groups, cpu, memory_bytes)
        entering = (f"LAB_SPACE={port.namespace}", f"LAB_GROUPS={' '.join(map(str, groups.values()))}")
        made = LabDevice(
            name=name,
            home=self.cell.folder / name,
            options=options,
            listen=f"0.0.0.0:{AGENT_PORT}",
            prefix=("env", *entering, "sh", "-c", _ENTER, "lab"),
            environment=environment or {},
            paths=paths,
            has_probed_gloo=has_probed_gloo,
            plug=port,
            groups=groups,
        )
        self.devices[name] = made
        if disk_bytes is not None:
            made.home.mkdir(parents=True)
            in_memory = ("-t", "tmpfs", "-o", f"size={disk_bytes}")
            network.run("mount", *in_memory, f"{self.lab}-disk", str(made.home))
        if is_running:
            self.cell.add(made)
        return made

    def paired(self, *names: str) -> list[LabDevice]:
        """New devices that form a cell; the first is the owner."""
        made = [self.device(name) for name in names]
        self.cell.paired(list(made))
        return made

    @contextlib.contextmanager
    def captured(self, file: Path) -> Iterator[Path]:
        """Capture every frame on the air in the file. Raises RuntimeError if some were missed."""
        words = ("ip", "netns", "exec", self.network.air, sys.executable, "-m", "tests.lab.capture", str(file))
        capture = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert capture.stdout
        try:
            assert capture.stdout.readline() == "ready\n"
            yield file
            time.sleep(0.3)
        finally:
            capture.terminate()
            lost = capture.stdout.read().strip()
            capture.stdout.close()
            capture.wait()
        if lost != "0":
            raise RuntimeError(f"the capture missed {lost} frames")

    def close(self) -> None:
        try:
            for device in self.devices.values():
                device.lid_opens()
            self.cell.close()
        finally:
            self.network.close()
            network.remove_groups(self.lab)
            network.remove_disks(self.lab)
            network.unregister(self.lab)


def _limit(groups: dict[str, Path], cpu: float | None, memory_bytes: int | None) -> None:
    """Raises RuntimeError when the machine cannot set a requested limit."""
    for controller, value in (("cpu", cpu), ("memory", memory_bytes)):
        if value is None:
            continue
        if controller not in groups:
            raise RuntimeError(f"no control group for {controller} here")
        folder = groups[controller]
        if (folder / "cgroup.controllers").exists():
            if controller == "cpu":
                quota = "max" if value == _NO_LIMIT else str(int(value * 100_000))
                (folder / "cpu.max").write_text(f"{quota} 100000")
            else:
                (folder / "memory.max").write_text(str(value))
        elif controller == "cpu":
            (folder / "cpu.cfs_quota_us").write_text(str(-1 if value == _NO_LIMIT else int(value * 100_000)))
        else:
            (folder / "memory.limit_in_bytes").write_text(str(value))


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def peers_of(device: Device) -> dict[str, dict[str, object]]:
    answer = device.ctl("peers", "--json")
    return {peer["name"]: peer for peer in json.loads(answer.out)["data"]} if answer.code == 0 else {}
