"""A channel: one authenticated connection, the same for the side that dialled and the side that accepted.

Owns the states open and lost, and patience with a slow receiver. Knows no sockets and no messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

from cellmind_agent.protocol.codec import Envelope
from cellmind_agent.protocol.errors import LinkLostError
from cellmind_agent.protocol.limits import SEND_RETRY_FIRST_SECONDS, SEND_RETRY_LAST_SECONDS, SEND_SECONDS

Frame: TypeAlias = bytes | memoryview


class Channel:
    """One connection whose other end has proved `curve_key`. It is open or lost; it never reconnects."""

    def __init__(self, curve_key: bytes, host: str, name: str) -> None:
        """`host` is the other end's IP address; `name` stands for the channel in errors and logs."""
        self.curve_key, self.host, self.name = curve_key, host, name
        self.carries: Callable[[Sequence[memoryview]], None] | None = None  # takes the frames of a tunnel
        self.answers: Callable[[Envelope], None] | None = None  # takes the answers to our requests
        self._loss_callbacks: list[Callable[[], None]] = []
        self._lost = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        """True once the connection is closed or broken."""
        return self._lost.is_set()

    async def lost(self) -> None:
        """Return when the connection is lost."""
        await self._lost.wait()

    def when_lost(self, do: Callable[[], None]) -> None:
        """Call `do` once in the event loop when the connection is lost, or soon if it is lost already."""
        if self.is_lost:
            asyncio.get_running_loop().call_soon(do)
        else:
            self._loss_callbacks.append(do)

    async def send(self, data: bytes) -> None:
        """Send one frame. Raises LinkLostError when the receiver is gone or takes nothing for SEND_SECONDS."""
        deadline = asyncio.get_running_loop().time() + SEND_SECONDS
        pause_seconds = SEND_RETRY_FIRST_SECONDS
        while not self.try_send([data]):
            if asyncio.get_running_loop().time() > deadline:
                raise LinkLostError("the other side takes nothing more")
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, SEND_RETRY_LAST_SECONDS)

    def try_send(self, frames: Sequence[Frame]) -> bool:
        """Send if the queue has room; return False if it is full. Raises LinkLostError."""
        raise NotImplementedError

    def cut(self) -> None:
        """Close now. Data that is not sent yet is lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Close. Data that is queued may still be sent where the transport allows it."""
        self.cut()

    def mark_lost(self) -> None:
        """Change to the state lost and call everyone who waits for it. For implementations and their listener."""
        if not self._lost.is_set():
            self._lost.set()
            for callback in self._loss_callbacks:
                callback()
            self._loss_callbacks.clear()


Hear: TypeAlias = Callable[[Channel, Sequence[memoryview]], None]
"""Receives the frames of one incoming message, in the event loop."""
