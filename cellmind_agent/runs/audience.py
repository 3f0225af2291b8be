"""The watchers of a run: each receives all of its events, however late it comes. The journal keeps them on disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, SupersededError
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import REMEMBERED_RUN_EVENTS
from cellmind_agent.storage.journal import Journal

_log = logging.getLogger(__name__)
_LAST = (m.RunFinished, m.RunFailed)


class Audience:
    """The watchers of one run."""

    def __init__(self, run: RunId, journal: Journal) -> None:
        self._run, self._journal = run, journal
        self._history: deque[m.RunEvent] = deque(maxlen=REMEMBERED_RUN_EVENTS)
        self._watchers: list[asyncio.Queue[m.RunEvent | None]] = []
        self._has_left = False

    @property
    def is_over(self) -> bool:
        return bool(self._history) and isinstance(self._history[-1], _LAST)

    def leave(self) -> None:
        """Another device leads on: its audience gets the rest."""
        self._has_left = True
        for queue in self._watchers:
            queue.put_nowait(None)

    def publish(self, event: m.RunEvent) -> None:
        """Send an event to all watchers. Nothing follows the last event; of progress only the latest is remembered."""
        if self.is_over:
            return
        is_transient = isinstance(event, m.Progressed)
        if is_transient and self._history and isinstance(self._history[-1], m.Progressed):
            self._history.pop()
        self._history.append(event)
        for queue in self._watchers:
            queue.put_nowait(event)
        if not is_transient:
            _log_event(event)
            if not isinstance(event, m.RoundCommitted):  # each member writes it down before it counts, the leader too
                with contextlib.suppress(CellmindError, OSError):  # a full disk must not end a run that can go on
                    self._journal.append_event(self._run, type(event).__name__, event)

    async def watch(self) -> AsyncIterator[m.RunEvent]:
        """The events so far, then each new one, to the end of the run. Raises SupersededError when another leads on."""
        queue: asyncio.Queue[m.RunEvent | None] = asyncio.Queue()
        for past in self._history:
            queue.put_nowait(past)
        if self._has_left:
            queue.put_nowait(None)
        self._watchers.append(queue)
        try:
            while True:
                event = await queue.get()
                if event is None:
                    raise SupersededError("another device leads {run} now", "cellmindctl watch {run}", run=self._run)
                yield event
                if isinstance(event, _LAST):
                    return
        finally:
            self._watchers.remove(queue)


def _log_event(event: m.RunEvent) -> None:
    """One line for people; the journal has all fields."""
    match event:
        case m.MemberJoined():
            _log.info("%s: %s joined with %s", event.run, event.name, event.device_kind)
        case m.RoundStarted():
            _log.info("%s: round %d begins at step %d of %d", event.run, event.round, event.step, event.total_steps)
        case m.RoundCommitted():
            _log.info(
                "%s: round %d ended at step %d of %d, held-out loss %s, state %s",
                event.run,
                event.round,
                event.step,
                event.total_steps,
                "-" if event.val_loss is None else f"{event.val_loss:.3f}",
                event.state_hash[:12],
            )
        case m.CheckpointSaved():
            _log.info("%s: checkpoint at step %d on %s", event.run, event.step, ", ".join(event.members))
        case m.MemberLost():
            _log.info("%s: lost %s: %s", event.run, event.name, event.why)
        case m.LeaderChanged():
            _log.info("%s: %s leads in term %d: %s", event.run, event.name, event.term, event.why)
        case m.RunFinished(stopped=True):
            _log.info("%s: stopped at step %d after %.0f s", event.run, event.step, event.seconds)
        case m.RunFinished():
            _log.info("%s: finished at step %d after %.0f s", event.run, event.step, event.seconds)
        case m.RunFailed():
            _log.info("%s: failed: %s", event.run, event.why)
