"""A child's line to its agent: JSON lines on standard input and output, requests and events both ways. No torch.

Standard output belongs to the line alone: whatever else prints goes to standard error, and so to the agent's log. When
standard input ends the agent is gone, and this process ends at once: no orphan ever trains on.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO


class AgentGoneError(Exception):
    """The agent refused a request, or went away."""


class AgentLink:
    """Made once, first thing in a program."""

    def __init__(self) -> None:
        self._out: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # a library's print must not break the line
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._calls: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="agent link", daemon=True).start()

    def calls(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """What the agent asks for, one after the other: (number, method, parameters)."""
        while True:
            plain = self._calls.get()
            yield plain["call"], plain["method"], plain["params"]

    def answer(self, number: int, result: Any) -> None:
        self._write({"answer": number, "result": result})

    def refuse(self, number: int, error: str) -> None:
        self._write({"answer": number, "error": error})

    def tell(self, event: str, **fields: Any) -> None:
        self._write({"event": event, **fields})

    def ask(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """The agent's answer, from any thread. Raises AgentGoneError, TimeoutError."""
        number = next(self._numbers)
        waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers[number] = waiting
        try:
            self._write({"call": number, "method": method, "params": params})
            plain = waiting.get(timeout=seconds)
        except queue.Empty as error:
            raise TimeoutError(f"no answer to {method} within {seconds:g} s") from error
        finally:
            self._answers.pop(number, None)
        if "error" in plain:
            raise AgentGoneError(str(plain["error"]))
        return plain.get("result")

    def _write(self, plain: dict[str, Any]) -> None:
        line = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
        with self._lock:
            try:
                self._out.write(line + "\n")
                self._out.flush()
            except BrokenPipeError:
                os._exit(0)

    def _read(self) -> None:
        for line in sys.stdin:
            plain = json.loads(line)
            if "answer" in plain:
                waiting = self._answers.get(plain["answer"])
                if waiting:
                    waiting.put(plain)
            elif plain.get("method") == "stop":
                break
            else:
                self._calls.put(plain)
        os._exit(0)
