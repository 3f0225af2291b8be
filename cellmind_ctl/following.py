"""A run as seen from here, whichever device leads it: its events one after the other, and stopping it.

While a run has no leader, the members choose another one. So its present leader is looked for again and again, for
SEARCH_SECONDS.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator

from cellmind_agent.planning.resuming import is_under_way
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    CellmindError,
    LinkLostError,
    MemberLostError,
    SupersededError,
    TimedOutError,
    UnknownNameError,
    UnreachableError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_ctl.client import Client
from cellmind_ctl.discover import list_runs, run_story

SEARCH_SECONDS = 20.0  # silence is noticed within 6, and each further member of the roster waits a few more
_PAUSE_SECONDS = 0.5
_LISTING_SECONDS = 2.0  # a device that needs longer is asked again in the next try
_NOT_LEADING = (UnreachableError, TimedOutError, SupersededError, UnknownNameError)
_LAST = (m.RunFinished, m.RunFailed)


class FollowedRun:
    """One run. `leader` is the device that leads it, as far as is known."""

    def __init__(self, client: Client, run: RunId, leader: DeviceId) -> None:
        self._client, self._run, self.leader = client, run, leader
        self._seen: dict[DeviceId, Counter[m.RunEvent]] = defaultdict(Counter)  # by the leader that sent them
        self._last_step = self._last_term = 0

    def events(self) -> Iterator[m.RunEvent]:
        """Each event that was not returned before, up to the last one of the run.

        Raises MemberLostError when no device leads the run any more, and UnknownNameError when it had failed before and
        its leader has forgotten the events.
        """
        search = _Search(self._client, self._run)
        while True:
            cause: CellmindError = LinkLostError("the leader reports nothing more")
            try:
                for event in self._new_events():
                    search = _Search(self._client, self._run)
                    yield event
                    if isinstance(event, _LAST):
                        return
            except _NOT_LEADING as error:
                cause = error
            try:
                view = search.next_view(cause)
            except _NOT_LEADING as error:
                hint = "cellmindctl resume {run} continues from the last checkpoint"
                sentence = "{run} failed: its leader went away ({why})"
                raise MemberLostError(sentence, hint, run=self._run, why=error.message) from error
            is_unknown = isinstance(cause, UnknownNameError) and (view is None or view.leader == self.leader)
            if view and self._is_over(view) and (is_unknown or search.num_tries > 1):
                yield self._ending(view)
                return
            if is_unknown and not any(self._seen.values()) and (view is None or not is_under_way(view)):
                raise cause
            self.leader = view.leader if view else self.leader

    def stop(self) -> None:
        """Ask the present leader to stop the run. Raises UnknownNameError when the run is not under way."""
        search = _Search(self._client, self._run)
        while True:
            try:
                self._client.request(m.StopRun(run=self._run), device=self.leader)
                return
            except _NOT_LEADING as error:
                cause = error
            view = search.next_view(cause)
            is_unknown = isinstance(cause, UnknownNameError)
            if view and not is_under_way(view) and (is_unknown or search.num_tries > 1):
                raise UnknownNameError("{run} is not running", "cellmindctl runs", run=self._run) from cause
            self.leader = view.leader if view else self.leader

    def _new_events(self) -> Iterator[m.RunEvent]:
        """What the leader sends, without what it has sent in an earlier stream: each stream begins with its history."""
        seen = self._seen[self.leader]
        repeated = seen.copy()
        for event in self._client.stream(m.WatchRun(run=self._run), self.leader):
            if isinstance(event, m.Progressed):  # of those a history has only some
                if repeated.total():
                    continue
            elif repeated[event]:
                repeated[event] -= 1
                continue
            else:
                repeated.clear()  # from here on all are new
                seen[event] += 1
            self._last_step = getattr(event, "step", self._last_step)
            self._last_term = max(self._last_term, getattr(event, "term", 0))
            yield event

    def _is_over(self, view: m.RunView) -> bool:
        """Whether the run has ended in good order. A device that was away may know of an earlier end only."""
        is_latest = view.term >= self._last_term and view.step >= self._last_step
        return view.state in ("finished", "stopped") and is_latest

    def _ending(self, view: m.RunView) -> m.RunFinished:
        """The last event of a run that its leader did not live to report; the members know how it ended."""
        story = run_story(self._client, self._run, _LISTING_SECONDS)
        return m.RunFinished(
            run=self._run,
            step=view.step,
            tokens=view.tokens,
            seconds=story.seconds,
            stopped=view.state == "stopped",
            val_loss=view.val_loss,
            early=view.state == "finished" and view.step < view.total_steps,
            best_step=story.best_step,
            best_val_loss=story.best_val_loss,
        )


class _Search:
    """The search for the leader of a run, from the first failure on."""

    def __init__(self, client: Client, run: RunId) -> None:
        self._client, self._run = client, run
        self._deadline = 0.0
        self._first_cause: CellmindError | None = None
        self.num_tries = 0

    def next_view(self, cause: CellmindError) -> m.RunView | None:
        """The latest view of the run that a device online has; `cause` is why the present leader was asked in vain.

        Raises the first cause when the time is over, and `cause` when our own agent does not answer.
        """
        if self._first_cause is None:
            self._first_cause, self._deadline = cause, time.monotonic() + SEARCH_SECONDS
        elif time.monotonic() >= self._deadline:
            raise self._first_cause
        else:
            time.sleep(_PAUSE_SECONDS)
        self.num_tries += 1
        try:
            self._client.check_agent()
        except (UnreachableError, TimedOutError):
            raise cause from None
        try:
            return next((view for view in list_runs(self._client, _LISTING_SECONDS) if view.run == self._run), None)
        except (UnreachableError, TimedOutError):  # the device that --agent names is gone
            return None
