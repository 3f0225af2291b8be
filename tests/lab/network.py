"""Simulated networks: one namespace for the air (a bridge), one for each device, and the cables between them.

Needs Linux, root, iproute2 and nftables. Everything that it makes has the lab's name; it changes nothing else.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REGISTRY = Path("/run/cellmind-lab")
SUBNET = "10.77.0"
BURST = "256kb"  # segmentation offload makes packets of 64 KB, which a smaller bucket never lets through


@functools.cache
def why_not_here() -> str | None:
    """Why this machine cannot have labs, or None. Tried, because root in a container may lack the rights."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "simulated homes need Linux and root"
    missing = [tool for tool in ("ip", "tc", "nft") if shutil.which(tool) is None]
    if missing:
        return f"simulated homes need {', '.join(missing)} (iproute2, nftables)"
    lab = f"cmt{secrets.token_hex(3)}"
    try:
        made = Network(lab, link="100mbit", shared="100mbit")
        try:
            made.plug("one")
            made.block_port("one", 9)
        finally:
            made.close()
    except RuntimeError as error:
        remove_namespaces(lab)
        return f"simulated homes cannot be made here: {error}"
    return None


def run(*words: str, stdin: str | None = None, is_needed: bool = True) -> str:
    """A system command's output. Raises RuntimeError with its error message."""
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode and is_needed:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Port:
    """The connection of one device to the air."""

    device: str
    namespace: str
    name: str  # the interface at the air's end of its cable
    address: str


class Network:
    """One bridge and its ports. `shared` is the rate of a medium that all ports share, as on Wi-Fi; `link` is the rate
    of each port, in both directions (as tc writes rates: 100mbit). What a device sends uses the medium; with
    `is_relayed` what it receives does so too, as from an access point."""

    def __init__(self, lab: str, link: str | None = None, shared: str | None = None, is_relayed: bool = False) -> None:
        self.lab, self.link, self.shared, self.is_relayed = lab, link, shared, is_relayed
        self.air = f"{lab}-air"
        self.ports: dict[str, Port] = {}
        self._relays: list[subprocess.Popen[bytes]] = []
        run("ip", "netns", "add", self.air)
        run("ip", "-n", self.air, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
        run("ip", "-n", self.air, "link", "set", "br0", "up")
        if shared:
            run("ip", "-n", self.air, "link", "add", "medium", "type", "ifb")
            run("ip", "-n", self.air, "link", "set", "medium", "up")
            self._shape(self.air, "medium", shared)
        self._nft(self.air, "add table bridge lab")
        for chain in ("partition", "multicast"):
            hook = "{ type filter hook forward priority 0; policy accept; }"
            self._nft(self.air, f"add chain bridge lab {chain} {hook}")

    def plug(
        self,
        device: str,
        delay_seconds: float = 0.0,
        loss: float = 0.0,
        link: str | None = None,
        is_wired: bool = False,
    ) -> Port:
        """Make a namespace for the device and a cable to the bridge; delay and loss need a relay between. A device that
        `is_wired` does not use the shared medium."""
        number = len(self.ports) + 1
        port = Port(device, f"{self.lab}-{device}", f"p{number}", f"{SUBNET}.{number}")
        run("ip", "netns", "add", port.namespace)
        if delay_seconds or loss:
            self._relay(port, delay_seconds, loss)
        else:
            peer = ("peer", "name", "eth0", "netns", port.namespace)
            run("ip", "-n", self.air, "link", "add", port.name, "type", "veth", *peer)
        run("ip", "-n", self.air, "link", "set", port.name, "master", "br0", "up")
        run("ip", "-n", port.namespace, "addr", "add", f"{port.address}/24", "dev", "eth0", "broadcast", "+")
        for name in ("lo", "eth0"):
            run("ip", "-n", port.namespace, "link", "set", name, "up")
        run("ip", "-n", port.namespace, "route", "add", "224.0.0.0/4", "dev", "eth0")
        rate = link or self.link
        if rate:
            self._shape(port.namespace, "eth0", rate)
            self._shape(self.air, port.name, rate)
        if self.shared and not is_wired:
            run("tc", "-n", self.air, "qdisc", "add", "dev", port.name, "clsact")
            for direction in ("ingress", "egress") if self.is_relayed else ("ingress",):
                run(
                    *("tc", "-n", self.air, "filter", "add", "dev", port.name, direction, "protocol", "all"),
                    *("u32", "match", "u32", "0", "0"),
                    *("action", "mirred", "egress", "redirect", "dev", "medium"),
                )
        self.ports[device] = port
        return port

    # -- faults ------------------------------------------------------------------------------------------------------

    def partition(self, *groups: Sequence[str]) -> None:
        """Devices of different groups cannot reach each other."""
        for group in groups:
            others = [name for other in groups if other is not group for name in other]
            for one in group:
                for other in others:
                    rule = f"iifname {self.ports[one].name} oifname {self.ports[other].name} drop"
                    self._nft(self.air, f"add rule bridge lab partition {rule}")

    def half_open(self, device: str) -> None:
        """Every TCP packet from the device is dropped; those to it arrive."""
        name = self.ports[device].name
        self._nft(self.air, f"add rule bridge lab partition iifname {name} ether type ip ip protocol tcp drop")

    def heal(self) -> None:
        """End partitions and half-open connections."""
        self._nft(self.air, "flush chain bridge lab partition")

    def set_cable(self, device: str, is_in: bool) -> None:
        """Pull the device's cable out, or put it in again: its interface loses the carrier and keeps its address."""
        run("ip", "-n", self.air, "link", "set", self.ports[device].name, "up" if is_in else "down")

    def set_multicast(self, is_on: bool) -> None:
        self._nft(self.air, "flush chain bridge lab multicast")
        if not is_on:
            self._nft(self.air, "add rule bridge lab multicast ip daddr 224.0.0.0/4 drop")

    def mute_multicast(self, device: str) -> None:
        """The device sends multicast and receives none, as phones do that save their battery."""
        namespace = self.ports[device].namespace
        self._nft(namespace, "add table inet lab")
        self._nft(namespace, "add chain inet lab input { type filter hook input priority 0; policy accept; }")
        self._nft(namespace, 'add rule inet lab input iifname "eth0" ip daddr 224.0.0.0/4 drop')

    def block_inbound(self, device: str) -> None:
        """Set up a firewall on the device: it can dial out, and nobody can dial it."""
        namespace = self.ports[device].namespace
        self._nft(namespace, "add table inet lab")
        self._nft(namespace, "add chain inet lab input { type filter hook input priority 0; policy accept; }")
        self._nft(namespace, 'add rule inet lab input iifname "eth0" tcp flags & (syn | ack) == syn drop')

    def block_port(self, device: str, port: int) -> None:
        """Drop packets to this TCP port of the device."""
        namespace = self.ports[device].namespace
        self._nft(namespace, "add table inet lab")
        self._nft(namespace, "add chain inet lab input { type filter hook input priority 0; policy accept; }")
        self._nft(namespace, f'add rule inet lab input iifname "eth0" tcp dport {port} drop')

    # -- counters ----------------------------------------------------------------------------------------------------

    def bytes_sent(self, device: str) -> int:
        """Bytes of Ethernet that the device has sent so far."""
        return self._counter(device, "rx")

    def bytes_received(self, device: str) -> int:
        """Bytes of Ethernet that the device has received so far."""
        return self._counter(device, "tx")

    def _counter(self, device: str, direction: str) -> int:
        links = json.loads(run("ip", "-n", self.air, "-s", "-j", "link", "show", "dev", self.ports[device].name))
        return int(links[0]["stats64"][direction]["bytes"])

    # -- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        for relay in self._relays:
            relay.kill()
            relay.wait()
        remove_namespaces(self.lab)

    def _relay(self, port: Port, delay_seconds: float, loss: float) -> None:
        inside = f"{port.name}-in"
        words = ("--outer", port.name, "--inner", inside, "--delay", str(delay_seconds), "--loss", str(loss))
        relay = subprocess.Popen(
            ["ip", "netns", "exec", self.air, sys.executable, "-m", "tests.lab.relay", *words],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self._relays.append(relay)
        assert relay.stdout
        with relay.stdout:
            if relay.stdout.readline() != b"ready\n":
                raise RuntimeError("the relay did not start")
        run("ip", "-n", self.air, "link", "set", inside, "netns", port.namespace, "name", "eth0")

    def _shape(self, namespace: str, name: str, rate: str) -> None:
        words = ("root", "tbf", "rate", rate, "burst", BURST, "latency", "50ms")
        run("tc", "-n", namespace, "qdisc", "add", "dev", name, *words)

    def _nft(self, namespace: str, command: str) -> None:
        run("ip", "netns", "exec", namespace, "nft", "-f", "-", stdin=command + "\n")


# -- which process has made which lab ---------------------------------------------------------------------------------


def register(lab: str) -> None:
    REGISTRY.mkdir(exist_ok=True)
    (REGISTRY / lab).write_text(str(os.getpid()))


def unregister(lab: str) -> None:
    (REGISTRY / lab).unlink(missing_ok=True)


def sweep() -> None:
    """Remove what is left of labs whose process is gone."""
    for entry in REGISTRY.glob("*") if REGISTRY.exists() else ():
        text = entry.read_text()
        if not text.isdigit() or Path(f"/proc/{text}").exists():
            continue
        remove_namespaces(entry.name)
        remove_groups(entry.name)
        remove_disks(entry.name)
        entry.unlink(missing_ok=True)


def remove_namespaces(lab: str) -> None:
    """Remove a lab's namespaces, with every process in them."""
    names = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line.startswith(f"{lab}-")]
    for name in names:
        for process in run("ip", "netns", "pids", name, is_needed=False).split():
            _kill(int(process))
        run("ip", "netns", "delete", name)


def control_groups(lab: str, device: str) -> dict[str, Path]:
    """Make the device's control groups; their folders by controller. Empty where the system allows none."""
    root, found = Path("/sys/fs/cgroup"), {}
    for controller in ("cpu", "memory"):
        parent = root if (root / "cgroup.controllers").exists() else root / controller
        if os.access(parent, os.W_OK):
            folder = parent / lab / device
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            found[controller] = folder
    return found


def remove_groups(lab: str) -> None:
    root = Path("/sys/fs/cgroup")
    for top in {root / lab, root / "cpu" / lab, root / "memory" / lab}:
        folders: Iterable[Path] = [*top.glob("*"), top] if top.exists() else ()
        for folder in folders:
            if folder.is_dir():
                _remove_group(folder)


def _remove_group(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            folder.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            for process in (folder / "cgroup.procs").read_text().split():
                _kill(int(process))
            time.sleep(0.02)


def _kill(process: int) -> None:
    try:
        os.kill(process, 9)
    except ProcessLookupError:
        pass


def remove_disks(lab: str) -> None:
    """Unmount the lab's disks, also those that a process still uses."""
    for line in Path("/proc/mounts").read_text().splitlines():
        source, place, *_ = line.split()
        if source == f"{lab}-disk":
            run("umount", "--lazy", place)
