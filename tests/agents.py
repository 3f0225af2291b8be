"""Real agents and the real command line, for tests, benchmarks and the demo: started, spoken to, and always ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

START_SECONDS = 30.0
CTL = (sys.executable, "-m", "cellmind_ctl.main")
ENVIRONMENT = {**os.environ, "CELLMIND_LANG": "en", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


@dataclass
class Answer:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.out.splitlines()[-1])["error"]
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Device:
    """One agent, in a home of its own; `prefix` are the words that run a command where the device is."""

    name: str
    home: Path
    options: Sequence[str] = ("--no-mdns",)
    listen: str = "127.0.0.1:0"
    prefix: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    paths: Sequence[Path] = ()  # where the Python of its programs searches first: another checkout of the product
    has_probed_gloo: bool = True  # as after an earlier run; else a probe imports torch, which takes seconds
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> "Device":
        self.launch()
        wait_for(lambda: (self.home / "agent.json").exists(), START_SECONDS, f"{self.name} to serve")
        return self

    def launch(self) -> None:
        """Start, and do not wait for it to serve."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "agent.json").unlink(missing_ok=True)
        if self.has_probed_gloo:
            (self.home / "gloo.json").write_text(json.dumps({"torch": version("torch"), "fault": None}))
        command = (sys.executable, "-m", "cellmind_agent.main", "--home", str(self.home), "--name", self.name)
        with open(self.home / "screen.txt", "ab") as screen:
            self.process = subprocess.Popen(
                [*self.prefix, *command, "--listen", self.listen, *self.options],
                stdout=screen,
                stderr=screen,
                env={**self._variables, **self.environment},
                cwd=self.home,  # Python searches the present folder before `paths`
            )

    @property
    def _variables(self) -> dict[str, str]:
        paths = {"PYTHONPATH": os.pathsep.join(map(str, self.paths))} if self.paths else {}
        return {**ENVIRONMENT, **paths}

    @property
    def control(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "agent.json").read_text())
        return found

    @property
    def port(self) -> int:
        return int(self.control["address"].rpartition(":")[2])

    def ctl(self, *words: str, stdin: str | None = None, timeout: float = 60.0, cwd: Path | None = None) -> Answer:
        """Run `cellmindctl` on this home to its end."""
        done = subprocess.run(
            [*self.prefix, *CTL, "--home", str(self.home), *words],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self._variables,
            cwd=cwd or self.home,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start_ctl(self, *words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Run `cellmindctl` on this home beside the test."""
        return subprocess.Popen(
            [*self.prefix, *CTL, "--home", str(self.home), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._variables,
            cwd=cwd or self.home,
        )

    def children(self) -> list[psutil.Process]:
        assert self.process
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kill(self) -> None:
        """Kill the agent without a goodbye, as in a power cut."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def freeze(self) -> list[psutil.Process]:
        """Suspend every process of the device, as when a lid closes. Returns them: call `resume()` of each to go on."""
        assert self.process
        frozen = [psutil.Process(self.process.pid), *self.children()]
        for process in frozen:
            process.suspend()
        return frozen

    def stop(self) -> int:
        """Send SIGTERM, and return the exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def log(self) -> str:
        return (self.home / "logs" / "agent.log").read_text()


class Cell:
    """Devices of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.devices: list[Device] = []

    def device(self, name: str, *options: str) -> Device:
        """A new device, running and unpaired."""
        made = Device(name, self.folder / name, options or ("--no-mdns",))
        return self.add(made)

    def add(self, made: Device) -> Device:
        self.devices.append(made)
        return made.start()

    def of(self, *names: str) -> list[Device]:
        """New devices, paired; the first is the owner."""
        return self.paired([self.device(name) for name in names])

    def paired(self, made: list[Device]) -> list[Device]:
        """They form a cell; the first is the owner."""
        names = [device.name for device in made]
        for joiner in made[1:]:
            pair(made[0], joiner)
        for device in made:
            wait_for(
                lambda device=device: states(device) == dict.fromkeys(names, "online"), 15, f"{device.name} to see all"
            )
        return made

    def close(self) -> None:
        children = [child for device in self.devices for child in device.children()]
        for device in self.devices:
            if device.process and device.process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    psutil.Process(device.process.pid).resume()
                device.process.terminate()
        for device in self.devices:
            if device.process:
                try:
                    device.process.wait(15)
                except subprocess.TimeoutExpired:
                    device.process.kill()
                    device.process.wait()
        _, alive = psutil.wait_procs(children, timeout=5)
        for child in alive:
            child.kill()
        assert not alive, f"orphans: {alive}"


def pair(inviter: Device, joiner: Device, *options: str, by_key: bool = True) -> None:
    """Invite and join, as two people would: typing the whole address that `invite` prints, or only HOST:PORT of it."""
    inviting = inviter.start_ctl("invite", "--json", *options)
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    address = opened["addresses"][0]
    try:
        joined = joiner.ctl("join", opened["code"], "--at", address if by_key else address.partition("/")[0], "--json")
        assert joined.code == 0, joined
    except BaseException:
        inviting.kill()
        inviting.communicate()
        raise
    out, err = inviting.communicate(timeout=15)
    assert inviting.returncode == 0, err
    assert json.loads(out)["data"]["joined"]["name"] == joiner.name


def states(device: Device) -> dict[str, str]:
    """What `peers` of this device says: name to state (`unpaired` for a stranger)."""
    answer = device.ctl("peers", "--json")
    if answer.code:
        return {}
    return {peer["name"]: peer["state"] if peer["paired"] else "unpaired" for peer in answer.data}


def wait_for(is_true: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)
