"""Work on several cores, in order and with little of it under way at a time. In this process where there is but one
core, or where the system has no semaphores to share (Android)."""

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
_AHEAD: Final = 2  # pieces under way for each process


class Workers:
    """Some processes, or none."""

    def __init__(self, pool: ProcessPoolExecutor | None, number: int) -> None:
        self._pool, self._number = pool, number

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Results in the order of the items. `function` and all it touches must be importable."""
        if self._pool is None:
            yield from map(function, items)
            return
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self._pool.submit(function, item))
            if len(waiting) >= self._number * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def workers(is_worth_it: bool) -> Iterator[Workers]:
    """As many processes as there are cores; none of them outlives the block."""
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = _pool(number) if is_worth_it and number > 1 else None
    try:
        yield Workers(pool, number)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In each worker. Rows by the ten thousand, none of them in a cycle: collecting them costs a fifth of the time.
    Ctrl-C is for the first process to answer, and a worker does not outlive that one, however it ends."""
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _pool(number: int) -> ProcessPoolExecutor | None:
    try:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(number, mp_context=context, initializer=_begin)
    except (ImportError, NotImplementedError, OSError):
        return None
