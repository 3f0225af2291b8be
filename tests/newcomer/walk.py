"""A newcomer's hands: types the commands of a README on real agents, with that person's own code, addresses and runs in
the place of the README's."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.agents import CTL, Answer, Cell, Device, wait_for
from tests.newcomer.readme import Step, expected

JOIN_CODE = r"\d+-[a-z]+-[a-z]+-[a-z]+"
LONG_SECONDS = 120.0


class Newcomer:
    """One person with devices in one folder; the project is the folder in which all commands are typed."""

    def __init__(self, cell: Cell, project: Path, language: str, names: tuple[str, ...]) -> None:
        self.cell, self.project, self.language = cell, project, language
        self.devices = {name: cell.device(name, "--interface", "lo") for name in names}
        self.joined = {names[0]}
        self.code, self.run = "", ""
        self._inviting: subprocess.Popen[str] | None = None
        self._watching: subprocess.Popen[str] | None = None

    def follow(self, step: Step) -> None:
        """Type the command of one step, and compare what it prints with what the README promises."""
        device = self.devices[step.device] if step.device else self._device_of(step)
        command = self._own_words(step.command)
        if command.startswith("cellmindctl invite"):
            self._invite(device, command)
        elif command.startswith("cellmindctl watch"):
            self._watch(device, command)
        elif command.startswith("cellmindctl resume"):
            self._resume(device, command)
        else:
            answer = self.type(device, command)
            assert answer.code == 0, f"{device.name}$ {command}\n{answer.out}{answer.err}"
            self._compare(step, answer)
        if command.startswith("cellmindctl join"):
            self.joined.add(device.name)
            self._end_of_invitation()
        if command.startswith("cellmindctl stop"):
            self._end_of_watching()

    def type(self, device: Device, command: str) -> Answer:
        """Run one command line in a terminal of `device`, to its end."""
        process = self._start(device, command)
        out, err = process.communicate(timeout=LONG_SECONDS)
        # The last one on standard output: a warning may name an older run, with which a device is still busy.
        for run in re.findall(r"run-\d{4}-[0-9a-f]{6}", err + out):
            self.run = run
        return Answer(process.returncode, out, err)

    def pair_the_others(self) -> None:
        """What a transcript leaves out with three dots: the other devices join in the same way."""
        first = next(iter(self.devices.values()))
        for name in self.devices.keys() - self.joined:
            self._invite(first, "cellmindctl invite")
            answer = self.type(self.devices[name], "cellmindctl join")
            assert answer.code == 0, answer
            self.joined.add(name)
            self._end_of_invitation()

    def close(self) -> None:
        for process in (self._inviting, self._watching):
            if process and process.poll() is None:
                process.kill()
                process.communicate()
        self.cell.close()

    def _device_of(self, step: Step) -> Device:
        """`join` is typed on another device, everything else on the first."""
        if step.command.startswith("cellmindctl join"):
            return next(self.devices[name] for name in self.devices if name not in self.joined)
        return next(iter(self.devices.values()))

    def _own_words(self, command: str) -> str:
        command = re.sub(JOIN_CODE, self.code, command)
        return re.sub(r"run-\d{4}-[0-9a-f]{6}", self.run, command)

    def _start(self, device: Device, command: str) -> subprocess.Popen[str]:
        words = shlex.split(command)
        program = {"cellmindctl": CTL, "python": (sys.executable,)}[words[0]]
        environment = {**os.environ, "CELLMIND_LANG": self.language, "CELLMIND_HOME": str(device.home)}
        environment["CELLMIND_JOIN_CODE"] = self.code  # instead of typing it
        return subprocess.Popen(
            [*program, *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120", "PYTHONUTF8": "1"},
            cwd=self.project,
        )

    def _invite(self, device: Device, command: str) -> None:
        """Type `invite`, which waits, and read the code from its first line."""
        self._inviting = self._start(device, command)
        assert self._inviting.stdout
        found = re.search(JOIN_CODE, self._inviting.stdout.readline())
        assert found, "invite printed no code"
        self.code = found[0]

    def _end_of_invitation(self) -> None:
        assert self._inviting
        out, err = self._inviting.communicate(timeout=15)
        assert self._inviting.returncode == 0, out + err

    def _watch(self, device: Device, command: str) -> None:
        """Type `watch` beside a run that is long enough to be watched and stopped."""
        long = {"training": {"epochs": 2000, "patience": 0, "dataset": {"path": "data/train.jsonl"}}}
        (self.project / "long.json").write_text(json.dumps(long))
        started = self.type(device, "cellmindctl train long.json --detach")
        assert started.code == 0, started
        self._watching = self._start(device, command)
        run = self.run
        wait_for(
            lambda: run in self.type(device, "cellmindctl models --json").out, LONG_SECONDS, "its first checkpoint"
        )
        self.run = run
        assert self._watching.poll() is None, self._watching.communicate()

    def _resume(self, device: Device, command: str) -> None:
        """Type `resume`, which follows the long run, see it train, and stop it."""
        resuming, run = self._start(device, command), self.run
        try:
            has_ended = lambda: resuming.poll() is not None  # noqa: E731 # then its words say why
            wait_for(lambda: has_ended() or self._state(device, run) == "training", LONG_SECONDS, "the run to go on")
        finally:
            self.type(device, "cellmindctl stop")
            out, err = resuming.communicate(timeout=LONG_SECONDS)
        assert resuming.returncode == 0, out + err

    def _has_checkpoint(self, device: Device, run: str) -> bool:
        models = json.loads(self.type(device, "cellmindctl models --json").out)["data"]
        return any(model["model"] == run and not model["is_best"] for model in models)

    def _state(self, device: Device, run: str) -> str:
        runs = json.loads(self.type(device, "cellmindctl runs --json").out)["data"]
        return next((str(found["state"]) for found in runs if found["run"] == run), "")

    def _end_of_watching(self) -> None:
        if self._watching:
            out, err = self._watching.communicate(timeout=LONG_SECONDS)
            assert self._watching.returncode == 0, out + err

    def _compare(self, step: Step, answer: Answer) -> None:
        """Every line that the README shows was printed, but for what differs between machines and runs."""
        printed = [self._any_name(line) for line in (answer.out + answer.err).splitlines()]
        for line in map(self._any_name, step.output):
            is_typed = step.command.startswith("cellmindctl join") and re.search(JOIN_CODE, line)
            if (
                is_typed
                or line == "..."
                or line.startswith("DEVICE: cpu,")
                or step.command.startswith("cellmindctl ask")
            ):
                continue
            if not any(expected(line).fullmatch(one) for one in printed):
                shown = "\n  ".join(printed)
                raise AssertionError(f"`{step.command}` promises\n  {line}\nand printed\n  {shown}")

    def _any_name(self, line: str) -> str:
        """The devices train in an order that depends on their speeds and ids."""
        return re.sub("|".join(self.devices), "DEVICE", line.strip())
