"""A simulated home to play in.

    python -m tests.lab [--devices 3] [--link 100mbit] [--shared 40mbit] [--delay 0.01] [--loss 0.01] [--cpu 0.5]
                        [--memory MB] [--no-multicast] [--unpaired]

Starts a home of devices with running agents, forms a cell, and reads commands (`help`). Needs Linux and root. Removes
everything at its end, and at its start everything that a crashed lab has left.
"""

import argparse
import cmd
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.agents import CTL, ENVIRONMENT
from tests.lab import network
from tests.lab.home import AGENT_PORT, Home, LabDevice

NAMES = ("laptop", "desktop", "phone", "tablet", "server", "netbook", "tower", "stick")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=3, choices=range(1, len(NAMES) + 1), metavar="N")
    parser.add_argument("--link", metavar="RATE", help="of each device, both ways")
    parser.add_argument("--shared", metavar="RATE", help="of a medium that all share, as Wi-Fi is")
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="on each device's cable")
    parser.add_argument("--loss", type=float, default=0.0, metavar="SHARE", help="of the frames of each cable")
    parser.add_argument("--cpu", type=float, metavar="CORES", help="of each device")
    parser.add_argument("--memory", type=int, metavar="MB", help="of each device")
    parser.add_argument("--no-multicast", action="store_true")
    parser.add_argument("--unpaired", action="store_true", help="strangers to each other")
    options = parser.parse_args()
    why_not = network.why_not_here()
    if why_not:
        print(f"error: {why_not}\nhint: sudo, and apt install iproute2 nftables", file=sys.stderr)
        return 1
    folder = tempfile.TemporaryDirectory(prefix="cellmind-lab-")
    with folder as place, Home(Path(place), options.link, options.shared) as home:
        home.network.set_multicast(not options.no_multicast)
        memory = None if options.memory is None else options.memory << 20
        devices = [
            home.device(name, cpu=options.cpu, memory_bytes=memory, delay_seconds=options.delay, loss=options.loss)
            for name in NAMES[: options.devices]
        ]
        if not options.unpaired:
            home.cell.paired(list(devices))
        Prompt(home).cmdloop()
    return 0


class Prompt(cmd.Cmd):
    """`DEVICE WORDS...` runs cellmindctl there; the other commands cause faults."""

    prompt = "lab> "

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.home = home
        places = ", ".join(f"{name} {device.address}:{AGENT_PORT}" for name, device in home.devices.items())
        self.intro = f"{places}\n`laptop peers` runs cellmindctl on laptop; `help` lists the rest; `quit` ends the lab"

    def default(self, line: str) -> bool | None:
        if line == "EOF":
            return True
        name, *words = shlex.split(line)
        if name not in self.home.devices:
            print(f"no device or command {name!r}: {', '.join(self.home.devices)}, or help")
            return None
        device = self.home.devices[name]
        subprocess.run([*device.prefix, *CTL, "--home", str(device.home), *words], env=ENVIRONMENT, check=False)
        return None

    def do_shell(self, line: str) -> None:
        """!DEVICE COMMAND...: any command in the device's network."""
        name, *words = shlex.split(line)
        if device := self._device(name):
            subprocess.run([*device.prefix, *words], check=False)

    def do_partition(self, line: str) -> None:
        """partition laptop desktop,phone: these groups cannot reach each other."""
        self.home.network.partition(*(group.split(",") for group in line.split()))

    def do_heal(self, line: str) -> None:
        """heal: end the partition."""
        self.home.network.heal()

    def do_multicast(self, line: str) -> None:
        """multicast on|off"""
        self.home.network.set_multicast(line.strip() != "off")

    def do_firewall(self, line: str) -> None:
        """firewall DEVICE: block inbound connections there, until the lab ends."""
        if self._device(line):
            self.home.network.block_inbound(line.strip())

    def do_freeze(self, line: str) -> None:
        """freeze DEVICE: its lid closes."""
        if device := self._device(line):
            device.lid_closes()

    def do_thaw(self, line: str) -> None:
        """thaw DEVICE"""
        if device := self._device(line):
            device.lid_opens()

    def do_power(self, line: str) -> None:
        """power DEVICE: a power cut; the same again switches it on."""
        if device := self._device(line):
            if device.process and device.process.poll() is None:
                device.power_cut()
            else:
                device.start()

    def do_bytes(self, line: str) -> None:
        """bytes: sent and received by each device so far."""
        for name in self.home.devices:
            sent, received = self.home.network.bytes_sent(name), self.home.network.bytes_received(name)
            print(f"{name:<8} sent {sent / 1e6:10.3f} MB   received {received / 1e6:10.3f} MB")

    def do_quit(self, line: str) -> bool:
        """quit: end and remove everything."""
        return True

    def _device(self, name: str) -> LabDevice | None:
        found = self.home.devices.get(name.strip())
        if found is None:
            print(f"no device {name!r}: {', '.join(self.home.devices)}")
        return found


if __name__ == "__main__":
    sys.exit(main())
