"""A child's end of the line to its agent: frames on standard input and output, calls and events both ways. No torch.

Only frames go to standard output. Everything else that prints goes to standard error, which the agent writes to its
log. When standard input ends, the agent is gone, and this process ends at once: no orphan continues to train.
"""

from __future__ import annotations

import itertools
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO, TypeVar

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
from model.line.failure import CallFailedError, Failure

A = TypeVar("A")


class Agent(Protocol):
    """Answers the calls of a trainer: an `AgentLink`, or a fake in a test."""

    def ask(self, call: Call[A], seconds: float) -> A: ...


class AgentLink:
    """The connection to the agent. Make it once, before slow imports: from then on the process ends with its agent."""

    def __init__(self, hear: Callable[[Event], None] = lambda event: None) -> None:
        """`hear` receives the agent's events, on the thread that reads the line: it must return at once."""
        self._hear = hear
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # a library's print must not break the line
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[AnswerFrame | RefusalFrame]] = {}
        self._calls: queue.SimpleQueue[CallFrame] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="agent link", daemon=True).start()

    def calls(self) -> Iterator[tuple[int, Call[Any]]]:
        """The agent's calls in the order in which they came, each with its number. Never ends."""
        while True:
            frame = self._calls.get()
            yield frame.number, frame.call

    def answer(self, number: int, answer: object) -> None:
        self._write(AnswerFrame(number=number, answer=answer))

    def refuse(self, number: int, failure: Failure) -> None:
        self._write(RefusalFrame(number=number, failure=failure))

    def report(self, event: Event) -> None:
        self._write(EventFrame(event=event))

    def ask(self, call: Call[A], seconds: float) -> A:
        """The agent's answer, from any thread. Raises CallFailedError, TimeoutError."""
        number = next(self._numbers)
        waiting: queue.SimpleQueue[AnswerFrame | RefusalFrame] = queue.SimpleQueue()
        self._waiting[number] = waiting
        try:
            self._write(CallFrame(number=number, call=call))
            frame = waiting.get(timeout=seconds)
        except queue.Empty as error:
            raise TimeoutError(f"no answer to {type(call).__name__} within {seconds:g} s") from error
        finally:
            self._waiting.pop(number, None)
        if isinstance(frame, RefusalFrame):
            raise CallFailedError(frame.failure)
        if not isinstance(frame.answer, answer_type(call)):
            raise TypeError(f"{type(call).__name__} was answered with {type(frame.answer).__name__}")
        return frame.answer

    def _write(self, frame: Frame) -> None:
        line = encode_frame(frame)
        with self._lock:
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except BrokenPipeError:
                os._exit(0)

    def _read(self) -> None:
        try:
            for line in sys.stdin:
                match decode_frame(line):
                    case CallFrame() as frame:
                        self._calls.put(frame)
                    case AnswerFrame(number=number) | RefusalFrame(number=number) as frame:
                        waiting = self._waiting.get(number)
                        if waiting:
                            waiting.put(frame)
                    case EventFrame(event=event):
                        self._hear(event)
                    case StopFrame():
                        break
        except LineError as error:  # without this thread, nothing would notice that the agent is gone
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
