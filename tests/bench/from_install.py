"""From `./install` on two hosts to their first joint training step: the wall time, and how much of it a person works.

    python -m tests.bench.from_install [--json FILE]                           needs root (see tests/lab)

A script types the README's commands into pseudo-terminals of a laptop and a desktop, at the speed of a person. How a
person's time is counted:
  typing    200 characters a minute, Enter included
  reading   2 seconds before each command
  pasting   4 seconds for a line that was printed before in the same terminal
What the person waits for is wall time only. The desktop's ./install is typed while the laptop's runs.

Two things are not as in a home. ./install runs outside the simulated network, since the package index lies there. A
stub stands for systemctl: it starts the ExecStart line of the unit that ./install wrote, on that host. Prints a table
and writes JSON.
"""

import argparse
import os
import pty
import re
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.install import new_user
from tests.bench.results import Results
from tests.house.product import ROOT
from tests.lab import network
from tests.lab.network import Network, Port
from tests.newcomer.test_readme import write_dialogues

TYPING_SECONDS = 60 / 200  # a character
READING_SECONDS, PASTING_SECONDS = 2.0, 4.0
GOAL_SECONDS, GOAL_PERSON_SECONDS = 300.0, 60.0
PROMPT = "ready> "
JOIN_CODE = r"\d+-[a-z]+-[a-z]+-[a-z]+"
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_STUB = """\
#!/bin/sh
case "$*" in *restart*) ;; *) exit 0 ;; esac
line=$(sed -n 's/^ExecStart=//p' "$HOME/.config/systemd/user/cellmind-agent.service")
setsid ip netns exec {space} unshare --uts sh -c "hostname {host}; exec $line" </dev/null >"$HOME/agent.log" 2>&1 &
"""


@dataclass
class Person:
    """Counts what one person does; all their terminals share it."""

    typed: int = 0
    pasted: int = 0
    commands: int = 0

    @property
    def seconds(self) -> float:
        """The time that this work takes."""
        return self.typed * TYPING_SECONDS + self.pasted * PASTING_SECONDS + self.commands * READING_SECONDS


@dataclass
class Terminal:
    """A shell of one host in a pseudo-terminal."""

    person: Person
    process: subprocess.Popen[bytes]
    master: int
    screen: str = ""

    def type(self, line: str, is_pasted: bool = False) -> None:
        """Read, then type or paste the line, as slowly as a person."""
        before = self.person.seconds
        self.person.commands += 1
        if is_pasted:
            self.person.pasted += 1
        else:
            self.person.typed += len(line) + 1
        time.sleep(self.person.seconds - before)
        self.screen = ""
        os.write(self.master, line.encode() + b"\n")

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until the output since the last command has the pattern. Raises TimeoutError with that output."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.screen)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {pattern!r} in\n{self.screen}")
            if select.select([self.master], [], [], 0.05)[0]:
                self.screen += _COLOURS.sub("", os.read(self.master, 65536).decode(errors="replace"))
        return found


@dataclass
class Host:
    """A device of a new user: a home folder with a clone, and a place on the simulated network."""

    name: str
    home: Path
    port: Port
    person: Person
    terminals: list[Terminal] = field(default_factory=list)

    def prepare(self) -> None:
        self.home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.home / "cellmind")], check=True)
        stub = self.home / "manager" / "systemctl"
        stub.parent.mkdir()
        stub.write_text(_STUB.format(space=self.port.namespace, host=self.name))
        stub.chmod(0o755)

    def terminal(self, is_outside: bool = False) -> Terminal:
        """A shell in the clone; `is_outside` the simulated network for what needs the package index."""
        inside = ("ip", "netns", "exec", self.port.namespace)
        shell = f"hostname {self.name}; exec bash --noprofile --norc -i"
        master, slave = pty.openpty()
        environment = new_user(self.home, only_public=False)
        process = subprocess.Popen(
            ["setsid", "--ctty", *(() if is_outside else inside), "unshare", "--uts", "sh", "-c", shell],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self.home / "cellmind",
            env={**environment, "PATH": f"{self.home / 'manager'}:{environment['PATH']}:/usr/sbin:/sbin"}
            | {"PS1": PROMPT, "TERM": "xterm", "COLUMNS": "120", "CELLMIND_LANG": "en", "LC_ALL": "C.UTF-8"},
        )
        os.close(slave)
        opened = Terminal(self.person, process, master)
        self.terminals.append(opened)
        opened.wait_for(re.escape(PROMPT), 20)
        return opened

    def close(self) -> None:
        for terminal in self.terminals:
            terminal.process.kill()
            terminal.process.wait()
            os.close(terminal.master)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("tests/bench/results/from_install.json"))
    options = parser.parse_args()
    results = Results(options.json)
    person = Person()
    with tempfile.TemporaryDirectory() as folder, home_of(Path(folder), person) as (laptop, desktop):
        marks = walk(laptop, desktop)
    report(marks, person, results)
    return 0


@contextmanager
def home_of(folder: Path, person: Person) -> Iterator[tuple[Host, Host]]:
    """A laptop and a desktop, linked with 100 Mbit/s. Raises RuntimeError where no network can be simulated."""
    why_not = network.why_not_here()
    if why_not:
        raise RuntimeError(why_not)
    network.sweep()
    lab = f"cm{secrets.token_hex(3)}"
    network.register(lab)
    air = Network(lab, link="100mbit")
    hosts: list[Host] = []
    try:
        for name in ("laptop", "desktop"):
            hosts.append(Host(name, folder / name, air.plug(name), person))
            hosts[-1].prepare()
        write_dialogues(hosts[0].home / "cellmind" / "chat.csv")
        yield hosts[0], hosts[1]
    finally:
        for host in hosts:
            host.close()
        air.close()
        network.unregister(lab)


def walk(laptop: Host, desktop: Host) -> dict[str, float]:
    """Do what the README says. Returns the seconds since the first key at which each part was done."""
    marks = {}
    installing = [host.terminal(is_outside=True) for host in (laptop, desktop)]
    started = time.monotonic()
    for terminal in installing:
        terminal.type("./install")
    exports = [terminal.wait_for(r"(export PATH=\S+)\r?\n[^$]*next: cellmindctl", 600)[1] for terminal in installing]
    marks["./install on both"] = time.monotonic() - started
    first, second = laptop.terminal(), desktop.terminal()
    first.type(exports[0], is_pasted=True)
    first.type("cellmindctl invite")
    code = first.wait_for(JOIN_CODE, 60)[0]
    second.type(exports[1], is_pasted=True)
    second.type(f"cellmindctl join {code}")
    second.wait_for("joined the cell of laptop", 60)
    first.wait_for("desktop joined as member", 60)
    marks["both in one cell"] = time.monotonic() - started
    first.type("cellmindctl train --data chat.csv")
    first.wait_for(r"desktop +\d+/\d+[^?]*start\?", 120)
    marks["the plan, with both"] = time.monotonic() - started
    first.type("")  # Enter agrees
    first.wait_for(r"step [1-9]\d*/", 240)
    marks["the first joint step"] = time.monotonic() - started
    return marks


def report(marks: dict[str, float], person: Person, results: Results) -> None:
    rows = {**marks, "of it a person's time": person.seconds}
    results.save(rows, {"typed": person.typed, "pasted": person.pasted, "commands": person.commands})
    print(f"{results.about()}\n| since the first key | s | goal |\n|---|---|---|")
    goals = {"the first joint step": GOAL_SECONDS, "of it a person's time": GOAL_PERSON_SECONDS}
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.0f} | {f'{goals[name]:.0f}' if name in goals else ''} |")
    print(f"{person.commands} commands, {person.typed} characters typed, {person.pasted} lines pasted")


if __name__ == "__main__":
    sys.exit(main())
