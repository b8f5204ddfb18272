"""The worker loop: leases what is due and runs it, a bounded number at the same time."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta

from memos_scheduler.domain.jobs import JobKind, Lease
from memos_scheduler.ports import JobQueue
from memos_scheduler.usecases.run_job import RunJob

_LOG = logging.getLogger(__name__)


class DispatchJobs:
    """One worker of the queue; each replica of the scheduler has one."""

    def __init__(
        self, *, queue: JobQueue, run_job: RunJob, worker: str, at_once: int, poll: timedelta, ttl: timedelta
    ) -> None:
        """Take a name for the worker, the number of jobs run at once, and how often to look for due ones."""
        self._queue = queue
        self._run_job = run_job
        self._worker = worker
        self._at_once = at_once
        self._poll = poll
        self._ttl = ttl
        self._woken = asyncio.Event()

    @property
    def kinds(self) -> Mapping[str, JobKind]:
        """The kinds of job that it can run."""
        return {name: handler.kind for name, handler in self._run_job.handlers.items()}

    def wake(self) -> None:
        """Look for due jobs now, since there may be a new one."""
        self._woken.set()

    async def __call__(self) -> None:
        """Work until cancelled; then running jobs are given back to the queue."""
        running: set[asyncio.Task[None]] = set()
        slots = asyncio.Semaphore(self._at_once)
        try:
            while True:
                await slots.acquire()
                task = asyncio.create_task(self._run(await self._next()))
                running.add(task)
                task.add_done_callback(running.discard)
                task.add_done_callback(lambda _: slots.release())
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, lease: Lease) -> None:
        try:
            await self._run_job(lease)
        except Exception:
            # The queue could not record how it ended; the lease ends by itself and the job is tried again.
            _LOG.exception("job %s could not be settled", lease.job.name)

    async def _lease(self, kinds: frozenset[str]) -> Lease | None:
        """Lease a job. One that is leased while the dispatcher is cancelled is given back at once."""
        asked = asyncio.ensure_future(self._queue.lease(kinds, worker=self._worker, ttl=self._ttl))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            try:
                lease = await asked
                if lease is not None:
                    await self._queue.release(lease)
            except Exception:  # it must not end in place of the cancellation
                _LOG.exception("a job may have been leased while the worker stopped; its lease ends by itself")
            raise

    async def _next(self) -> Lease:
        """Wait for a due job."""
        kinds = frozenset(self.kinds)
        while True:
            self._woken.clear()
            try:
                lease = await self._lease(kinds)
            except Exception:
                _LOG.exception("the queue does not answer; trying again")
                lease = None
            if lease is not None:
                return lease
            try:
                async with asyncio.timeout(self._poll.total_seconds()):
                    await self._woken.wait()
            except TimeoutError:
                pass
