"""How a trainer keeps to the pace that its agent asks for: threads, rests, memory. Acts only between two steps."""

from __future__ import annotations

import sys
import threading

from model.errors import MemoryLimitError, PeerLostError
from model.line.declare import Event
from model.line.pace import PaceChanged
from model.line.training import GroupOver, StopSteps

# The members' agents wait ten minutes for a round. Rests of several members may follow each other, so each gets a part.
_MAX_ROUND_REST_SECONDS = 120.0


class Pace:
    """The latest pace, heard on the thread of the link, and applied by the training loop before each step."""

    def __init__(self, max_round_rest_seconds: float = _MAX_ROUND_REST_SECONDS) -> None:
        """In one round the trainer rests for at most `max_round_rest_seconds`; then it trains on without rests."""
        self._latest = PaceChanged()
        self._changed = threading.Condition()
        self._max_round_rest_seconds = self._rest_left_seconds = max_round_rest_seconds
        self._own_threads: int | None = None  # as the trainer chose them
        self._is_group_over = False
        self._stopped: int | None = None  # the first step of the call that should end
        self._cut: int | None = None  # the same, in the middle of a step

    def hear(self, event: Event) -> None:
        """Take an event of the agent, on any thread. A rest that is under way ends if it is no longer asked for."""
        with self._changed:
            if isinstance(event, PaceChanged):
                self._latest = event
            elif isinstance(event, GroupOver):
                self._is_group_over = True
            elif isinstance(event, StopSteps):
                self._stopped = event.first_step
                self._cut = event.first_step if event.at_once else self._cut
            self._changed.notify_all()

    @property
    def is_limited(self) -> bool:
        """Whether this device may take less than it could, so that it is slower than it was tuned for."""
        return self._latest.threads is not None or self._latest.rest_seconds > 0

    def allow_threads(self, threads: int) -> None:
        """The trainer has chosen another number of threads, and set it."""
        self._own_threads = threads

    def begin_group(self) -> None:
        """The trainer joins a process group: what ended the one before counts no longer."""
        self._is_group_over = False

    def is_stopped(self, first_step: int) -> bool:
        """Whether the call that takes steps from `first_step` on should end after the present one: said only once."""
        if self._stopped != first_step:
            return False
        self._stopped = None
        return True

    def is_cut(self, first_step: int) -> bool:
        """Whether that call should end in the middle of a step."""
        return self._cut == first_step

    def end_steps(self) -> None:
        """The call has ended: the same steps may be dealt again."""
        self._stopped = self._cut = None

    def begin_round(self) -> None:
        """A round begins, or this device's next steps of a local one: rests are possible again."""
        self._rest_left_seconds = self._max_round_rest_seconds

    def apply(self) -> None:
        """Rest, then set the number of threads. Raises MemoryLimitError, and PeerLostError when the process group is
        over: a local round needs the others only at its end, and its steps would be for nothing.

        OpenMP keeps its number of threads for each thread, so only the thread that trains may call this.
        """
        import torch

        self._rest()
        if self._is_group_over:
            raise PeerLostError("the process group is over")
        pace = self._latest
        check_memory(pace.memory_bytes)
        if self._own_threads is None:
            self._own_threads = torch.get_num_threads()
        threads = min(self._own_threads, pace.threads or self._own_threads)
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)

    def _rest(self) -> None:
        with self._changed:
            seconds = min(self._latest.rest_seconds, self._rest_left_seconds)
            if seconds > 0:
                self._rest_left_seconds -= seconds
                self._changed.wait_for(self._is_rest_over, timeout=seconds)

    def _is_rest_over(self) -> bool:
        """Nobody asks for it any more, or the others wait for this device."""
        return self._latest.rest_seconds == 0 or self._is_group_over or self._cut is not None


def check_memory(allowed_bytes: int | None) -> None:
    """Raises MemoryLimitError when this process has taken more than that. None: any amount is allowed."""
    if allowed_bytes is not None and peak_memory_bytes() > allowed_bytes:
        raise MemoryLimitError(
            "training has taken {taken} MB, and may take {allowed} MB here",
            "lower training.batch_size, or raise --train-memory of this device's agent",
            taken=peak_memory_bytes() >> 20,
            allowed=allowed_bytes >> 20,
        )


def peak_memory_bytes() -> int:
    """The most resident memory that this process has had, as `top` shows it; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # macOS counts bytes, Linux kilobytes
