"""One thread that writes, with group commit: what waits together becomes durable with one fsync."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from memos_kernel.errors import Overloaded
from memos_runtime.sql.faults import translated, wait_to_try_again

STORE = "governance"
"""What people call the database."""

T = TypeVar("T")
Work = Callable[[Connection], T]


@dataclass(frozen=True, slots=True)
class _Job:
    work: Work[Any]
    future: "Future[Any]"


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    error: Exception | None = None

    def tell(self, future: "Future[Any]") -> None:
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.value)


class Writer:
    """Runs pieces of work one after another, each as if in a transaction of its own.

    A piece that raises is undone alone. If the database itself fails, the whole group is undone and its
    pieces are run one by one, so that only those fail that must. One that another replica was quicker than is run
    again, and sees what that one did. So work may run several times.
    """

    def __init__(self, engine: Engine, *, group: int, waiting: int) -> None:
        self._engine = engine
        self._group = group
        self._queue: queue.Queue[_Job | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._loop, name="governance.write", daemon=True)
        self._thread.start()

    async def run(self, work: Work[T]) -> T:
        """Return what the work returns, once it is durable.

        Work that is cancelled while it waits is never run.

        Raises:
            Overloaded: too much waits.
            StoreFull, DependencyUnavailable, InternalError: the database failed; nothing was changed.
        """
        future: Future[T] = Future()
        try:
            self._queue.put_nowait(_Job(work, future))
        except queue.Full:
            raise Overloaded(
                "Too many changes of policy and audit wait; try again.", retry_after=1.0, queue="governance.write"
            ) from None
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """Finish what waits, then stop."""
        await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _loop(self) -> None:
        while (job := self._queue.get()) is not None:
            jobs: list[_Job | None] = [job]
            while jobs[-1] is not None and len(jobs) < self._group and not self._queue.empty():
                jobs.append(self._queue.get_nowait())  # nobody else takes from the queue
            self._commit([job for job in jobs if job is not None and job.future.set_running_or_notify_cancel()])
            if jobs[-1] is None:
                return

    def _commit(self, jobs: Sequence[_Job], *, attempt: int = 1) -> None:
        try:
            with self._engine.begin() as connection:
                outcomes = [_attempt(connection, job.work) for job in jobs]
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._commit([job])
                return
            if wait_to_try_again(error, attempt=attempt):
                self._commit(jobs, attempt=attempt + 1)
                return
            outcomes = [_Outcome(error=translated(error, store=STORE)) for _ in jobs]
        for job, outcome in zip(jobs, outcomes, strict=True):
            outcome.tell(job.future)


def _attempt(connection: Connection, work: Work[Any]) -> _Outcome:
    savepoint = connection.begin_nested()
    try:
        value = work(connection)
    except SQLAlchemyError:
        raise  # the group is undone as a whole: a full disk, for one, has ended the transaction already
    except Exception as error:
        savepoint.rollback()
        return _Outcome(error=error)
    savepoint.commit()
    return _Outcome(value)
