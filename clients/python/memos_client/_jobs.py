"""Background work."""

from collections.abc import AsyncGenerator, Iterable

from memos_api.v1 import job_pb2
from memos_api.v1 import job_service_pb2 as pb
from memos_client._base import Calls, pages
from memos_client._checks import listed


class JobCalls(Calls):
    """JobService. Jobs are named in full, or by their last part."""

    async def get_job(self, name: str) -> job_pb2.Job:
        """Return one job.

        Raises:
            MemosError: NotFound.
        """
        answer: pb.GetJobResponse = await self.call(pb.GetJobRequest(name=self._name("jobs", name)))
        return answer.job

    async def list_jobs(self, *, states: Iterable[str] = (), page_size: int = 0) -> AsyncGenerator[job_pb2.Job, None]:
        """Yield the tenant's jobs, newest first; `states` such as `DEAD` leaves out the others.

        Raises:
            ValueError: an unknown state.
            TypeError: `states` is one string.
        """
        values = [job_pb2.JobState.Value(f"JOB_STATE_{state}") for state in listed("states", states)]
        async for job in pages(self, pb.ListJobsRequest(states=values, page_size=page_size), "jobs"):
            yield job

    async def cancel_job(self, name: str, *, request_id: str = "") -> job_pb2.Job:
        """Cancel a job that has not ended.

        Raises:
            MemosError: NotFound, PreconditionFailed (it has ended).
        """
        request = pb.CancelJobRequest(name=self._name("jobs", name), request_id=request_id)
        answer: pb.CancelJobResponse = await self.call(request)
        return answer.job

    async def retry_job(self, name: str, *, request_id: str = "") -> job_pb2.Job:
        """Put a job that failed at every attempt, or that was cancelled, back into the queue.

        Raises:
            MemosError: NotFound, PreconditionFailed (it is neither).
        """
        request = pb.RetryJobRequest(name=self._name("jobs", name), request_id=request_id)
        answer: pb.RetryJobResponse = await self.call(request)
        return answer.job

    async def watch_job(self, name: str) -> AsyncGenerator[job_pb2.Job, None]:
        """Yield a job at each change until it ends.

        Raises:
            MemosError: NotFound.
        """
        async for answer in self.stream(pb.WatchJobRequest(name=self._name("jobs", name))):
            yield answer.job
