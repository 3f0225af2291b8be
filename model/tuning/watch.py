"""Notices that a device has become much slower than it was when it was tuned. Pure."""

from __future__ import annotations

_MUCH_SLOWER = 0.6  # of the tuned speed; a step also reads rows, so a little less than 1 is usual
_FIRST_PATIENCE_SECONDS = 30.0  # a short disturbance passes by itself


class SpeedWatch:
    """Compares the speed of a run with `tuned`, in tokens a second. Each alarm doubles the patience before the next."""

    def __init__(self, tuned: float, patience_seconds: float = _FIRST_PATIENCE_SECONDS) -> None:
        self._tuned, self._patience_seconds = tuned, patience_seconds
        self._slow_since: float | None = None

    def has_dropped(self, tokens_per_second: float, now: float) -> bool:
        """Whether the speed has been much lower for long. `now` is a monotonic clock, in seconds.

        A speed of 0 is not known yet.
        """
        if not 0 < tokens_per_second < self._tuned * _MUCH_SLOWER:
            self._slow_since = None
            return False
        if self._slow_since is None:
            self._slow_since = now
        return now - self._slow_since >= self._patience_seconds

    def begin_again(self, tuned: float) -> None:
        """The device has been tuned again, to this speed."""
        self._tuned, self._slow_since = tuned, None
        self._patience_seconds *= 2
