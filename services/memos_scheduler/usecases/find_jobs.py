"""Shows jobs to those who may know of them."""

from dataclasses import dataclass

from memos_kernel.errors import ResourceNotFound
from memos_kernel.names import JobName
from memos_kernel.permission import Action, Grant
from memos_scheduler.domain.jobs import Job, JobState, visible
from memos_scheduler.ports import JobQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class GetJob:
    """Returns one job."""

    queue: JobQueue

    async def __call__(self, name: JobName, *, grant: Grant) -> Job:
        """Return the job.

        Raises:
            ResourceNotFound: there is none, or the caller may not know of it.
        """
        job = await self.queue.get(name) if name.parent == grant.tenant else None
        if job is None or not visible(job, grant):
            raise ResourceNotFound(f"{name} does not exist.", name=str(name))
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class ListJobs:
    """Lists jobs of the caller, or of the whole tenant for an admin."""

    queue: JobQueue

    async def __call__(
        self, *, grant: Grant, states: frozenset[JobState], before: str, limit: int
    ) -> tuple[tuple[Job, ...], str]:
        """Return a page, newest first, and the id that the next page starts after; empty on the last."""
        everything = Action.TENANT_ADMIN in grant.actions
        jobs = await self.queue.page(
            grant.tenant,
            principal=None if everything else grant.principal,
            states=states,
            before=before,
            limit=limit + 1,
        )
        shown = jobs[:limit]
        return shown, shown[-1].name.id if len(jobs) > limit else ""
