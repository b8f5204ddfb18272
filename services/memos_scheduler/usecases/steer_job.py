"""Cancels jobs, and brings dead letters and cancelled jobs back."""

from collections.abc import Callable
from dataclasses import dataclass

from memos_kernel.names import JobName
from memos_kernel.permission import Grant
from memos_kernel.requests import RequestKey
from memos_scheduler.domain.jobs import Job
from memos_scheduler.ports import JobQueue
from memos_scheduler.usecases.find_jobs import GetJob


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelJob:
    """Cancels a waiting job at once; a running one stops after the step that it is in."""

    queue: JobQueue
    find: GetJob

    async def __call__(self, name: JobName, *, grant: Grant, request: RequestKey) -> Job:
        """Return the job.

        Raises:
            ResourceNotFound: there is none, or the caller may not know of it.
            StateConflict: it has ended.
        """
        await self.find(name, grant=grant)
        return await self.queue.cancel(name, caller=grant.principal, request=request)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryJob:
    """Puts a dead letter, or a job that was cancelled, back into the queue."""

    queue: JobQueue
    find: GetJob
    wake: Callable[[], None]

    async def __call__(self, name: JobName, *, grant: Grant, request: RequestKey) -> Job:
        """Return the job.

        Raises:
            ResourceNotFound: there is none, or the caller may not know of it.
            StateConflict: it is neither.
        """
        await self.find(name, grant=grant)
        job = await self.queue.retry(name, caller=grant.principal, request=request)
        self.wake()
        return job
