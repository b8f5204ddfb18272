"""Follows a job."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

from memos_kernel.ids import Clock
from memos_kernel.names import JobName
from memos_kernel.permission import Grant
from memos_scheduler.domain.jobs import ENDED, Job
from memos_scheduler.ports import Grants
from memos_scheduler.usecases.find_jobs import GetJob


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchJob:
    """Looks at the job from time to time, so that it does not matter which replica runs it."""

    find: GetJob
    grants: Grants
    clock: Clock
    every: timedelta

    async def __call__(self, name: JobName, *, grant: Grant) -> AsyncIterator[Job]:
        """Yield the job now and after each change, until it has ended.

        A watch may outlive its grant; then a fresh one is asked for, so that it ends when the caller's
        permission does.

        Raises:
            ResourceNotFound: there is none, or the caller may not know of it (any more).
            PermissionDenied: the caller lost its permission.
        """
        seen: Job | None = None
        while True:
            if self.clock.now() >= grant.expire_time:
                grant = await self.grants.issue(grant.principal, actions=grant.actions)
            job = await self.find(name, grant=grant)
            if job != seen:
                yield job
            if job.state in ENDED:
                return
            seen = job
            await asyncio.sleep(self.every.total_seconds())
