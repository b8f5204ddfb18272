"""Runs one leased job to where it is settled."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from memos_kernel.errors import AdapterRejected, Capacity, FormUnsupported, MemosError, NotFound, RequestError
from memos_kernel.ids import Clock, IdFactory
from memos_scheduler.domain.jobs import PATIENCE, Backoff, Job, JobState, Lease, LeaseLost, Progress
from memos_scheduler.ports import Grants, Handler, JobObserver, JobQueue

_LOG = logging.getLogger(__name__)

BEATS_PER_LEASE = 3

_FINAL = (AdapterRejected, FormUnsupported, NotFound, RequestError)
"""Errors that another attempt would end with, too, after the same long work, or for what the job asks."""


@dataclass(slots=True)
class _Attempt:
    """What the work and its heartbeat tell each other."""

    lease: Lease
    progress: Progress = field(default_factory=Progress)
    stop_wanted: bool = False
    lost: bool = False
    work: asyncio.Task[bool] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """Lets the handler work under fresh grants while a heartbeat keeps the lease, and records how it ended.

    A job is recorded as done only after its handler came to its end. If the lease was lost, nothing is
    recorded: whoever took the job over decides.
    """

    queue: JobQueue
    grants: Grants
    handlers: Mapping[str, Handler]
    clock: Clock
    new_id: IdFactory
    backoff: Backoff
    chance: Callable[[], float]
    ttl: timedelta
    observer: JobObserver

    async def __call__(self, lease: Lease) -> None:
        """Run the job. Cancelling gives it back to the queue."""
        attempt = _Attempt(lease)
        attempt.work = asyncio.create_task(self._work(attempt))
        beat = asyncio.create_task(self._beat(attempt))
        try:
            self.observer.settled(await self._settle(attempt, attempt.work))
        except LeaseLost:
            _LOG.warning("lost the lease of %s; another worker goes on with it", lease.job.name)
        finally:
            beat.cancel()
            with suppress(asyncio.CancelledError):
                await beat

    async def _settle(self, attempt: _Attempt, work: asyncio.Task[bool]) -> Job:
        try:
            finished = await work
        except asyncio.CancelledError:
            if attempt.lost:
                raise LeaseLost from None
            with suppress(LeaseLost):
                await self.queue.release(attempt.lease)
            raise
        except LeaseLost:
            raise
        except Exception as error:
            return await self._failed(attempt.lease, error)
        if finished:
            return await self.queue.succeed(attempt.lease, progress=attempt.progress)
        return await self.queue.stop(attempt.lease, progress=attempt.progress)

    async def _failed(self, lease: Lease, error: Exception) -> Job:
        """Record a failure; while a part is away, which is no fault of the job, it costs none of its attempts."""
        now = self.clock.now()
        waited = now - lease.job.create_time
        if isinstance(error, Capacity) and waited < PATIENCE:
            counts, wait = False, self.backoff.pause(waited, chance=self.chance())
        else:
            counts, wait = True, self.backoff.delay(lease.job.attempts, chance=self.chance())
        retry_at = None if isinstance(error, _FINAL) else now + wait
        job = await self.queue.fail(lease, error=self._words(error, lease.job), retry_at=retry_at, counts=counts)
        _note_failure(job)
        return job

    async def _work(self, attempt: _Attempt) -> bool:
        """Go through the handler's steps; return False if the job was cancelled between two of them."""
        job = attempt.lease.job
        handler = self.handlers[job.kind]
        with self.observer.attempt(job):
            async with aclosing(handler.run(job)) as steps:
                while not attempt.stop_wanted:
                    grant = await self.grants.issue(job.principal, actions=handler.kind.actions, vaults=job.vaults)
                    with self.grants.use(grant):
                        step = await anext(steps, None)
                    if step is None:
                        return True
                    attempt.progress = step
                    await self._keep(attempt)
            return False

    async def _keep(self, attempt: _Attempt) -> None:
        attempt.stop_wanted = await self.queue.heartbeat(
            attempt.lease, progress=attempt.progress.fraction, ttl=self.ttl
        )

    async def _beat(self, attempt: _Attempt) -> None:
        """Keep the lease during long steps; without lease, stop the work."""
        while True:
            await asyncio.sleep(self.ttl.total_seconds() / BEATS_PER_LEASE)
            try:
                await self._keep(attempt)
            except LeaseLost:
                attempt.lost = True
                if attempt.work is not None:
                    attempt.work.cancel()
                return
            except Exception:
                # The next beat may come through; if none does, the lease ends and the fence refuses this worker.
                _LOG.exception("the heartbeat of %s failed", attempt.lease.job.name)

    def _words(self, error: Exception, job: Job) -> str:
        """Return what a person may read of a failure. The text of an unknown exception may hold content."""
        if isinstance(error, MemosError):
            return f"{error.reason}: {error.message}"
        error_id = self.new_id()
        _LOG.error("job %s failed; error id %s", job.name, error_id, exc_info=error)
        return f"INTERNAL_ERROR: An unexpected failure; error id {error_id} is in the log."


def _note_failure(job: Job) -> None:
    """Log a failed attempt: the last one as an error, since only a person or a timer brings a dead job back."""
    _LOG.log(
        logging.ERROR if job.state is JobState.DEAD else logging.WARNING,
        "attempt %d of %d at job %s (%s) failed and left it %s: %s",
        job.attempts,
        job.max_attempts,
        job.name,
        job.kind,
        job.state.name,
        job.last_error,
    )
