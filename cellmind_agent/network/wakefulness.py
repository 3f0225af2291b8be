"""Whether this machine is awake, and whether it was a moment ago: then it is not the others that fell silent."""

from __future__ import annotations

import asyncio

from cellmind_agent.protocol.limits import PATIENCE_FLOOR_SECONDS


class Wakefulness:
    """Construct it inside a running event loop."""

    def __init__(self) -> None:
        self._is_awake = asyncio.Event()
        self._is_awake.set()
        self._woke_at: float | None = None

    @property
    def is_suspending(self) -> bool:
        """Whether this machine is about to sleep, by its own announcement."""
        return not self._is_awake.is_set()

    @property
    def explains_losses(self) -> bool:
        """Whether links are lost now because of this machine: it is about to sleep, or has slept until a moment ago."""
        just_woke = self._woke_at is not None and _now() - self._woke_at < PATIENCE_FLOOR_SECONDS
        return self.is_suspending or just_woke

    def suspend(self) -> None:
        """This machine is about to sleep."""
        self._is_awake.clear()

    def resume(self) -> None:
        """This machine is awake; whether it slept is not known."""
        self._is_awake.set()

    def note_sleep(self) -> None:
        """This machine has slept until now."""
        self._woke_at = _now()

    async def until_awake(self) -> None:
        """Return at once unless this machine is about to sleep; then when it is awake again."""
        await self._is_awake.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
