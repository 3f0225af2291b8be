"""Who watches a run: everybody gets all of its events, however late they come; the journal keeps them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.storage.journal import Journal

_log = logging.getLogger(__name__)
_LAST = (m.RunFinished, m.RunFailed)
_REMEMBERED_EVENTS = 2000


class Audience:
    """The watchers of one run."""

    def __init__(self, run: RunId, journal: Journal) -> None:
        self._run, self._journal = run, journal
        self._history: deque[Any] = deque(maxlen=_REMEMBERED_EVENTS)
        self._watchers: list[asyncio.Queue[Any]] = []

    @property
    def is_over(self) -> bool:
        return bool(self._history) and isinstance(self._history[-1], _LAST)

    def tell(self, event: Any) -> None:
        """To all watchers; after the last event, nothing more. Of progress only the latest is remembered."""
        if self.is_over:
            return
        is_passing = isinstance(event, m.Progressed)
        if is_passing and self._history and isinstance(self._history[-1], m.Progressed):
            self._history.pop()
        self._history.append(event)
        for queue in self._watchers:
            queue.put_nowait(event)
        if not is_passing:
            _log.info("%s: %s", self._run, event)
            with contextlib.suppress(CellmindError, OSError):  # a full disk must not end a run that can go on
                self._journal.append_event(self._run, type(event).__name__, event)

    async def watch(self) -> AsyncIterator[Any]:
        """What has happened, then what happens, to the end."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for event in self._history:
            queue.put_nowait(event)
        self._watchers.append(queue)
        try:
            while True:
                event = await queue.get()
                yield event
                if isinstance(event, _LAST):
                    return
        finally:
            self._watchers.remove(queue)
