"""From an agent to its trainer: what the trainer may take of this device from now on."""

from __future__ import annotations

from model.line.declare import Event, line_message


@line_message
class PaceChanged(Event):
    """The latest one holds. Without a limit a field is None, and `rest_seconds` is 0."""

    threads: int | None = None  # at most
    rest_seconds: float = 0.0  # before each step
    memory_bytes: int | None = None  # the most that the process may ever have held
