"""One child process of ours and the line to it: JSON lines over stdio, requests and events both ways.

    {"call": 7, "method": "...", "params": {...}}     a request, from either side
    {"answer": 7, "result": ...} or {"answer": 7, "error": "..."}
    {"event": "...", ...}                             from the child

A child has its own process group. It ends when its standard input does, so a killed agent leaves no orphan; it is
stopped by asking, then terminating, then killing. What it writes to standard error goes to the agent's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from cellmind_agent.protocol.errors import CellmindError, JobFailedError, TimedOutError
from cellmind_agent.protocol.limits import (
    MAX_CHILD_LINE_BYTES,
    MAX_LOG_LINE_CHARACTERS,
    STOP_ASK_SECONDS,
    STOP_TERMINATE_SECONDS,
)

PROGRAMS: Mapping[str, str] = {
    "train": "model.train",
    "serve": "model.serve",
    "probe": "model.probe",
}  # the allow-list: nothing else is run

_log = logging.getLogger(__name__)
Serve = Callable[[str, dict[str, Any]], Awaitable[Any]]
Hear = Callable[[str, dict[str, Any]], None]


class ChildProcess:
    """A running program of the allow-list."""

    def __init__(self, program: str, process: asyncio.subprocess.Process, serve: Serve, hear: Hear) -> None:
        self._program, self._process, self._serve, self._hear = program, process, serve, hear
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._last_words = ""
        self._tasks = [
            asyncio.create_task(self._read_lines(), name=f"{program} lines"),
            asyncio.create_task(self._read_errors(), name=f"{program} errors"),
        ]
        self._ended = asyncio.create_task(self._watch(), name=f"{program} end")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return not self._ended.done()

    async def call(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """The child's answer. Raises JobFailedError (it failed, or ended meanwhile), TimedOutError."""
        if not self.is_running:
            raise JobFailedError(self.obituary())
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._write({"call": number, "method": method, "params": params})
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as error:
            raise TimedOutError(f"{self._program} did not answer {method} within {seconds:g} s") from error
        finally:
            self._waiting.pop(number, None)

    async def ended(self) -> str:
        """Waits for the end; how it ended, in words."""
        await asyncio.wait({self._ended})
        return self.obituary()

    def obituary(self) -> str:
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"the {self._program} process {how}{': ' if self._last_words else ''}{self._last_words}"

    async def stop(self) -> None:
        """Ask, terminate, kill. Returns when the process and its lines are done with; never raises for its state."""
        if not self.is_running:
            return
        try:
            with contextlib.suppress(OSError, RuntimeError, JobFailedError):
                await self._write({"call": 0, "method": "stop", "params": {}})
                assert self._process.stdin
                self._process.stdin.close()
            if not await self._ends_within(STOP_ASK_SECONDS):
                self._signal(signal.SIGTERM)
                if not await self._ends_within(STOP_TERMINATE_SECONDS):
                    self._signal(signal.SIGKILL)
        finally:
            if self.is_running:
                self._signal(signal.SIGKILL)
            await asyncio.wait({self._ended})

    async def _ends_within(self, seconds: float) -> bool:
        await asyncio.wait({self._ended}, timeout=seconds)
        return not self.is_running

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(self._process.pid, number)
            else:
                self._process.kill()

    async def _write(self, plain: dict[str, Any]) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(plain, separators=(",", ":")).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise JobFailedError(self.obituary()) from error

    async def _watch(self) -> None:
        await self._process.wait()
        await asyncio.wait(self._tasks, timeout=2.0)  # the last words may still be in the pipes
        for task in (*self._tasks, *self._serving):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._serving, return_exceptions=True)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(JobFailedError(self.obituary()))
        if self._process.stdin:
            self._process.stdin.close()

    async def _read_lines(self) -> None:
        assert self._process.stdout
        try:
            while line := await self._process.stdout.readline():
                plain = json.loads(line)
                if "event" in plain:
                    self._hear(plain.pop("event"), plain)
                elif "answer" in plain:
                    self._settle(plain)
                elif "call" in plain:
                    task = asyncio.create_task(self._serve_call(plain))
                    self._serving.add(task)
                    task.add_done_callback(self._serving.discard)
        except ValueError as error:  # not JSON, or a line over the limit
            _log.error("%s wrote nonsense (%s); stopping it", self._program, error)
            self._signal(signal.SIGKILL)

    def _settle(self, plain: dict[str, Any]) -> None:
        future = self._waiting.get(plain["answer"])
        if future is None or future.done():
            return
        if "error" in plain:
            future.set_exception(JobFailedError(str(plain["error"])))
        else:
            future.set_result(plain.get("result"))

    async def _serve_call(self, plain: dict[str, Any]) -> None:
        try:
            answer = {"answer": plain["call"], "result": await self._serve(plain["method"], plain["params"])}
        except CellmindError as error:
            answer = {"answer": plain["call"], "error": error.message}
        with contextlib.suppress(JobFailedError):
            await self._write(answer)

    async def _read_errors(self) -> None:
        assert self._process.stderr
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line over the limit
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()[:MAX_LOG_LINE_CHARACTERS]
            if text:
                self._last_words = text
                _log.info("[%s %d] %s", self._program, self._process.pid, text)


async def start_child(program: str, folder: Path, serve: Serve, hear: Hear) -> ChildProcess:
    """Start a program of the allow-list in `folder`. Raises JobFailedError."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the working folder must not shadow a module
            "-m",
            PROGRAMS[program],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder,
            env=environment,
            limit=MAX_CHILD_LINE_BYTES,
            start_new_session=True,
        )
    except OSError as error:
        raise JobFailedError(f"cannot start {program}: {error.strerror}") from error
    _log.info("started %s, process %d", program, process.pid)
    return ChildProcess(program, process, serve, hear)
