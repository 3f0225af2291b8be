"""Worker processes: results in order, and only a little work in flight at a time.

The work runs in this process if there is only one core, or if the system has no semaphores to share (Android).
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_IN_FLIGHT_PER_PROCESS: Final = 2  # items; more would hold more results in memory


class Workers:
    """A pool of processes, or this process alone."""

    def __init__(self, pool: ProcessPoolExecutor | None, num_processes: int) -> None:
        self._pool, self._num_processes = pool, num_processes

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield the results in the order of the items. `function` and its arguments must be picklable.

        Raises what `function` raises.
        """
        if self._pool is None:
            yield from map(function, items)
            return
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self._pool.submit(function, item))
            if len(waiting) >= self._num_processes * _IN_FLIGHT_PER_PROCESS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def open_workers(is_parallel: bool) -> Iterator[Workers]:
    """Yield one process per core if `is_parallel`, else this process. No process outlives the block."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = _start_pool(num_cores) if is_parallel and num_cores > 1 else None
    try:
        yield Workers(pool, num_cores)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _start_pool(num_processes: int) -> ProcessPoolExecutor | None:
    try:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of this process
        return ProcessPoolExecutor(num_processes, mp_context=context, initializer=_initialize_worker)
    except (ImportError, NotImplementedError, OSError):
        return None


def _initialize_worker() -> None:
    # A block has tens of thousands of rows in no cycle, and collecting garbage would cost a fifth of the time.
    gc.disable()
    # Only the main process handles Ctrl-C; it then ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """End this worker when its parent ends, even if the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
