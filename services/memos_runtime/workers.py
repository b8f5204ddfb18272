"""Threads for what blocks, behind a bounded queue, so that the event loop never waits."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from memos_kernel.errors import Overloaded

T = TypeVar("T")

_SMOOTHING = 0.2
_RETRY_MIN, _RETRY_MAX = 0.1, 30.0


class Worker:
    """One or more threads with a bounded queue."""

    def __init__(self, name: str, *, threads: int = 1, queue: int = 64) -> None:
        self._name = name
        self._threads = threads
        self._capacity = threads + queue
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._pending = 0
        self._mean_seconds = 0.05

    async def run(self, fn: Callable[..., T], *args: Any) -> T:
        """Run `fn(*args)` in a thread and return what it returns.

        A call that is cancelled while it waits is never run; one that runs already is finished by its
        thread, and its result dropped.

        Raises:
            Overloaded: the queue is full; `retry_after` is an estimate from recent run times.
        """
        with self._lock:
            if self._pending >= self._capacity:
                raise Overloaded(
                    f"The queue of {self._name} is full; try again.", retry_after=self._wait(), queue=self._name
                )
            self._pending += 1
        try:
            future = self._pool.submit(contextvars.copy_context().run, self._timed, fn, args)
        except RuntimeError:  # shut down
            self._release(None)
            raise
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Drop what waits, and wait for what runs. Can be called twice."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def _timed(self, fn: Callable[..., T], args: tuple[Any, ...]) -> T:
        started = time.perf_counter()
        try:
            return fn(*args)
        finally:
            self._mean_seconds += _SMOOTHING * (time.perf_counter() - started - self._mean_seconds)

    def _release(self, _: Future[Any] | None) -> None:
        with self._lock:
            self._pending -= 1

    def _wait(self) -> float:
        return min(_RETRY_MAX, max(_RETRY_MIN, self._mean_seconds * self._pending / self._threads))
