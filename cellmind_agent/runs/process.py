"""One child process and this agent's end of the line to it (model/line): calls both ways, events from the child.

A child has its own process group. It ends when its standard input does, so a killed agent leaves no orphan. To stop
it, the agent asks, then terminates, then kills. What a child writes to standard error goes to the agent's log.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from cellmind_agent.protocol.errors import (
    CellmindError,
    JobFailedError,
    TimedOutError,
    UnreachableError,
)
from cellmind_agent.protocol.limits import (
    EXIT_OUTPUT_SECONDS,
    MAX_CHILD_LINE_BYTES,
    MAX_LOG_LINE_CHARACTERS,
    STOP_ASK_SECONDS,
    STOP_TERMINATE_SECONDS,
)
from cellmind_agent.runs.priority import lower_priority
from model.line.codec import (
    AnswerFrame,
    CallFrame,
    EventFrame,
    Frame,
    LineError,
    RefusalFrame,
    StopFrame,
    decode_frame,
    encode_frame,
)
from model.line.declare import Call, Event, answer_type
from model.line.failure import Failure, FailureCode
from model.line.sentence import Sentence

PROGRAMS: Mapping[str, str] = {
    "train": "model.train",
    "serve": "model.serve",
    "probe": "model.probe",
}  # the allow-list: nothing else is started

A = TypeVar("A")
Serve = Callable[[Call[Any]], Awaitable[object]]
Hear = Callable[[Event], None]
_log = logging.getLogger(__name__)


class ChildFailedError(JobFailedError):
    """A child process refused a call, or ended before it answered."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.advice)
        self.failure = failure


class ChildProcess:
    """A running program of the allow-list. `start_child` makes one."""

    def __init__(self, program: str, process: asyncio.subprocess.Process, serve: Serve, hear: Hear) -> None:
        """`serve` answers the child's calls, and may raise CellmindError; `hear` receives its events."""
        self._program, self._process, self._serve, self._hear = program, process, serve, hear
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._last_output = ""
        self._refusal: Failure | None = None  # of the last call, if it was refused
        self._tasks = [
            asyncio.create_task(self._read_frames(), name=f"{program} frames"),
            asyncio.create_task(self._read_errors(), name=f"{program} errors"),
        ]
        self._ended = asyncio.create_task(self._watch(), name=f"{program} end")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return not self._ended.done()

    async def call(self, call: Call[A], seconds: float) -> A:
        """The child's answer. Raises ChildFailedError (it refused, or ended), TimedOutError."""
        if not self.is_running:
            raise ChildFailedError(self._end_failure())
        number = next(self._numbers)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._write(CallFrame(number=number, call=call))
            async with asyncio.timeout(seconds):
                answer = await future
        except TimeoutError as error:
            raise TimedOutError(
                "{program} did not answer {what} within {seconds} s",
                program=self._program,
                what=type(call).__name__,
                seconds=f"{seconds:g}",
            ) from error
        finally:
            self._waiting.pop(number, None)
        if not isinstance(answer, answer_type(call)):
            what = {"program": self._program, "call": type(call).__name__, "answer": type(answer).__name__}
            message = Sentence("{program} answered {call} with {answer}", **what)
            raise ChildFailedError(Failure(code="failed", message=message))
        return answer

    async def report(self, event: Event) -> None:
        """Send an event to the child. Raises ChildFailedError (it ended)."""
        await self._write(EventFrame(event=event))

    async def ended(self) -> Failure:
        """Wait for the end; the exit summary, with the code of the refusal that came just before the end."""
        await asyncio.wait({self._ended})
        return self._end_failure()

    def exit_summary(self) -> str:
        """How the process ended, and its last line of output, in words."""
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"the {self._program} process {how}{': ' if self._last_output else ''}{self._last_output}"

    async def stop(self) -> None:
        """Ask, terminate, kill. Returns when the process has ended and its output is read. Never raises."""
        if not self.is_running:
            return
        try:
            with contextlib.suppress(OSError, RuntimeError, JobFailedError):
                async with asyncio.timeout(STOP_ASK_SECONDS):  # a frozen child whose pipe is full takes nothing
                    await self._write(StopFrame())
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

    def _end_failure(self) -> Failure:
        return self._refusal or Failure(code="failed", message=Sentence(self.exit_summary()))

    async def _write(self, frame: Frame) -> None:
        """Raises ChildFailedError."""
        assert self._process.stdin
        try:
            self._process.stdin.write(encode_frame(frame).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildFailedError(self._end_failure()) from error

    async def _watch(self) -> None:
        await self._process.wait()
        await asyncio.wait(self._tasks, timeout=EXIT_OUTPUT_SECONDS)
        for task in (*self._tasks, *self._serving):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._serving, return_exceptions=True)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ChildFailedError(self._end_failure()))
        if self._process.stdin:
            self._process.stdin.close()

    async def _read_frames(self) -> None:
        assert self._process.stdout
        try:
            while line := await self._process.stdout.readline():
                self._hear_frame(decode_frame(line))
        except ValueError as error:  # a LineError, or a line over the limit
            _log.error("%s wrote an invalid line (%s); stopping it", self._program, error)
            self._signal(signal.SIGKILL)

    def _hear_frame(self, frame: Frame) -> None:
        match frame:
            case EventFrame():
                self._hear(frame.event)
            case AnswerFrame() | RefusalFrame():
                self._resolve(frame)
            case CallFrame():
                task = asyncio.create_task(self._serve_call(frame))
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)
            case StopFrame():
                raise LineError("only the agent may ask to stop")

    def _resolve(self, frame: AnswerFrame | RefusalFrame) -> None:
        self._refusal = frame.failure if isinstance(frame, RefusalFrame) else None
        future = self._waiting.get(frame.number)
        if future is None or future.done():
            return
        if isinstance(frame, RefusalFrame):
            future.set_exception(ChildFailedError(frame.failure))
        else:
            future.set_result(frame.answer)

    async def _serve_call(self, frame: CallFrame) -> None:
        answer: AnswerFrame | RefusalFrame
        try:
            answer = AnswerFrame(number=frame.number, answer=await self._serve(frame.call))
        except CellmindError as error:
            failure = Failure(code=_failure_code(error), message=error.message, hint=error.hint)
            answer = RefusalFrame(number=frame.number, failure=failure)
        except Exception:  # a bug here must not leave the child waiting for an answer
            _log.exception("a call of %s failed", self._program)
            failure = Failure(code="failed", message=Sentence("an error in the agent; its log says more"))
            answer = RefusalFrame(number=frame.number, failure=failure)
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
                self._last_output = text
                _log.info("[%s %d] %s", self._program, self._process.pid, text)


async def start_child(
    program: str,
    folder: Path,
    serve: Serve,
    hear: Hear,
    environment: Mapping[str, str] = MappingProxyType({}),
    nice: int = 0,
) -> ChildProcess:
    """Start a program of the allow-list in `folder`, with these variables too. `nice` lowers its priority.

    Raises JobFailedError, KeyError (not in the list).
    """
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
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
            limit=MAX_CHILD_LINE_BYTES,
            start_new_session=True,
        )
    except OSError as error:
        raise JobFailedError("cannot start {program}: {strerror}", program=program, strerror=error.strerror) from error
    lower_priority(process.pid, nice)  # now, because later threads inherit the priority and earlier ones keep theirs
    _log.info("started %s, process %d", program, process.pid)
    return ChildProcess(program, process, serve, hear)


def _failure_code(error: CellmindError) -> FailureCode:
    """What the refusal of a child's call means to the child."""
    # The leader is gone, or a rank has not come in time.
    return "peer_lost" if isinstance(error, UnreachableError | TimedOutError) else "failed"


async def serve_nothing(call: Call[Any]) -> object:
    """The `serve` of a child that may not ask for anything. Raises CellmindError."""
    raise CellmindError("this child may not ask for {what}", what=type(call).__name__)
