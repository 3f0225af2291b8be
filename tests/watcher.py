"""The events of a run as a command prints them (`train`, `watch` or `resume` with `--json`), each with its time."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.agents import Device


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `at` is when it was read, by `time.monotonic()`."""

    at: float
    kind: str
    data: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


class CommandEndedError(AssertionError):
    """The command ended, or its time was over, before the awaited event came."""


class Watcher:
    """Reads a command's events in threads of its own. Use as a context manager, which ends the command."""

    def __init__(self, command: subprocess.Popen[str]) -> None:
        """The command's output and errors must be pipes."""
        assert command.stdout
        assert command.stderr
        self.command = command
        self.events: list[Event] = []
        self._errors = ""
        self._is_over = False
        self._news = threading.Condition()
        self._threads = [
            threading.Thread(target=self._read, args=(command.stdout,)),
            threading.Thread(target=self._read_errors, args=(command.stderr,)),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def run(self) -> str:
        """The name of the run; empty before its first event."""
        with self._news:
            return next((event["run"] for event in self.events if event.data.get("run")), "")

    @property
    def is_over(self) -> bool:
        """The command has ended, and all its events were read."""
        with self._news:
            return self._is_over

    @property
    def errors(self) -> str:
        """The last lines of the command's errors, or the error that it printed as its last event."""
        with self._news:
            printed = [json.dumps(event.data, ensure_ascii=False) for event in self.events if event.kind == "error"]
            return (printed[-1] if printed else self._errors.strip())[-400:]

    def wait(self, what: str, is_wanted: Callable[[Event], object], seconds: float = 60.0, since: float = 0.0) -> Event:
        """The first event that is wanted and was read at `since` or later. Raises CommandEndedError."""
        deadline, place = time.monotonic() + seconds, 0
        with self._news:
            while True:
                for event in self.events[place:]:
                    if event.at >= since and is_wanted(event):
                        return event
                place = len(self.events)
                if self._is_over:
                    raise CommandEndedError(f"the command ended before {what}: {self.errors}")
                left = deadline - time.monotonic()
                if left <= 0:
                    kinds = [event.kind for event in self.events if event.kind != "progress"][-8:]
                    raise CommandEndedError(f"waited {seconds:g} s for {what}; the last events: {kinds}")
                self._news.wait(left)

    def wait_for_kind(self, kind: str, seconds: float = 60.0, since: float = 0.0) -> Event:
        """The first event of that kind. Raises CommandEndedError."""
        return self.wait(kind, lambda event: event.kind == kind, seconds, since)

    def wait_for_members(self, count: int, seconds: float = 60.0, since: float = 0.0) -> Event:
        """The first committed round with steps and with so many members. Raises CommandEndedError."""
        return self.wait(
            f"a committed round of {count} members",
            lambda event: has_trained(event) and len(event["members"]) == count,
            seconds,
            since,
        )

    def of_kind(self, kind: str, since: float = 0.0) -> list[Event]:
        """All events of that kind so far, read at `since` or later."""
        with self._news:
            return [event for event in self.events if event.kind == kind and event.at >= since]

    def close(self) -> None:
        """End the command, if it has not ended. The run goes on."""
        if self.command.poll() is None:
            self.command.kill()
        self.command.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self.command.stdout, self.command.stderr):
            if pipe:
                pipe.close()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            try:
                data = json.loads(line)
            except ValueError:  # the command was killed in the middle of a line
                continue
            event = Event(time.monotonic(), data.get("event") or ("error" if "error" in data else ""), data)
            with self._news:
                self.events.append(event)
                self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def _read_errors(self, pipe: IO[str]) -> None:
        for line in pipe:
            with self._news:
                self._errors += line


def start_training(device: Device, project: Path, *words: str) -> Watcher:
    """Train the project from this device, and watch the run. The members step together unless `words` have a mode, and
    all take part unless that is `auto`."""
    mode = () if "--mode" in words else ("--mode", "ddp")
    everybody = () if "auto" in words else ("--all",)
    return Watcher(device.start_ctl("train", "--json", "--yes", *everybody, *mode, *words, cwd=project))


def watch(device: Device, run: str = "") -> Watcher:
    """Watch a run from this device; by default the one that is training."""
    return Watcher(device.start_ctl("watch", "--json", *([run] if run else [])))


def has_trained(event: Event) -> bool:
    """True for a committed round that has steps. (The first round of a run has none.)"""
    return event.kind == "round_committed" and event["step"] > event.data.get("first_step", 0)


def member_names(event: Event) -> set[str]:
    """The members of a committed round."""
    return {member["name"] for member in event["members"]}
