"""A dedicated thread for a model, fed in batches from a bounded queue that is fair to small work."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from memos_kernel.errors import Draining, Overloaded

_SMOOTHING = 0.2
_RETRY_MIN, _RETRY_MAX = 0.1, 30.0

_log = logging.getLogger(__name__)


class Job(Protocol):
    """A piece of work."""

    @property
    def size(self) -> int:
        """Cost of the work, in the unit of the lane."""
        ...

    def fail(self, error: Exception) -> None:
        """Tell whoever waits that the work was not done. Called from any thread."""
        ...


J = TypeVar("J", bound=Job)


class Lane(Generic[J]):
    """One thread that owns a model; callers of the event loop hand it jobs.

    Order is by start-time fair queueing: a job is due once the lane has done as much work as the caller put before
    it. So a caller with many jobs and callers with one each take turns, and nobody waits for ever.
    """

    def __init__(self, name: str, handle: Callable[[Sequence[J]], None], *, batch: int, capacity: int) -> None:
        """Make the lane; `start` makes it run.

        Args:
            name: shown in errors, and the name of the thread.
            handle: does the work of a batch, in the thread; what it raises fails every job of the batch.
            batch: most work handed over at once, though never less than one job.
            capacity: most work that waits; an empty queue takes one call of any size.
        """
        self._name = name
        self._handle = handle
        self._batch = batch
        self._capacity = capacity
        self._wake = threading.Condition()
        self._heap: list[tuple[int, int, J]] = []
        self._order = itertools.count()
        self._waiting = 0
        self._done = 0
        self._seconds_per_unit = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Fail what waits, let what runs end, and join the thread. Blocks; can be called twice, or without `start`."""
        with self._wake:
            self._closed = True
            left, self._heap, self._waiting = self._heap, [], 0
            self._wake.notify_all()
        for _, _, job in left:
            job.fail(Draining(f"The {self._name} is going down.", service="inference"))
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, jobs: Sequence[J]) -> None:
        """Queue the jobs of one call, in order; all or none.

        Raises:
            Overloaded: the queue is full; `retry_after` is the time that its work takes, by recent speed.
            Draining: the lane is closed.
        """
        size = sum(job.size for job in jobs)
        with self._wake:
            if self._closed:
                raise Draining(f"The {self._name} is going down.", service="inference")
            if self._waiting and self._waiting + size > self._capacity:
                wait = min(_RETRY_MAX, max(_RETRY_MIN, self._waiting * self._seconds_per_unit))
                raise Overloaded(f"The queue of the {self._name} is full.", retry_after=wait, queue=self._name)
            due = self._done
            for job in jobs:
                heapq.heappush(self._heap, (due, next(self._order), job))
                due += job.size
            self._waiting += size
            self._wake.notify()

    def withdraw(self, jobs: Sequence[J]) -> None:
        """Take jobs out of the queue; those that are not in it (any more) are left alone."""
        gone = {id(job) for job in jobs}
        with self._wake:
            self._heap = [entry for entry in self._heap if id(entry[2]) not in gone]
            heapq.heapify(self._heap)
            self._waiting = sum(job.size for _, _, job in self._heap)

    def _run(self) -> None:
        while batch := self._take():
            started = time.perf_counter()
            try:
                self._handle(batch)
            except Exception as error:
                _log.exception("%s: a batch of %d failed", self._name, len(batch))
                for job in batch:
                    job.fail(error)
            pace = (time.perf_counter() - started) / sum(job.size for job in batch)
            self._seconds_per_unit += _SMOOTHING * (pace - self._seconds_per_unit)

    def _take(self) -> list[J]:
        """Wait for work and return a batch of it; nothing once the lane is closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._heap or self._closed)
            batch: list[J] = []
            size = 0
            while self._heap and (not batch or size + self._heap[0][2].size <= self._batch):
                _, _, job = heapq.heappop(self._heap)
                batch.append(job)
                size += job.size
            self._waiting -= size
            self._done += size
            return batch
