"""JobService: handed on to the scheduler as it is, so it has no use case."""

from collections.abc import AsyncIterator

from memos_api.internal.v1 import scheduler_service_pb2 as internal
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.v1 import job_service_pb2 as pb
from memos_api.v1 import job_service_pb2_grpc as pb_grpc
from memos_runtime.context import current_request_key
from memos_wire.requests import request_key_to_proto


class JobServicer(pb_grpc.JobServiceServicer):
    """Shows and steers background work."""

    def __init__(self, scheduler: SchedulerServiceStub) -> None:
        self._scheduler = scheduler

    async def GetJob(self, request: pb.GetJobRequest, context: object) -> pb.GetJobResponse:
        """Return one job."""
        answer: internal.GetJobResponse = await self._scheduler.GetJob(internal.GetJobRequest(request=request))
        return answer.response

    async def ListJobs(self, request: pb.ListJobsRequest, context: object) -> pb.ListJobsResponse:
        """List jobs."""
        answer: internal.ListJobsResponse = await self._scheduler.ListJobs(internal.ListJobsRequest(request=request))
        return answer.response

    async def CancelJob(self, request: pb.CancelJobRequest, context: object) -> pb.CancelJobResponse:
        """Cancel a job."""
        key = request_key_to_proto(current_request_key())
        answer: internal.CancelJobResponse = await self._scheduler.CancelJob(
            internal.CancelJobRequest(request=request, request_key=key)
        )
        return answer.response

    async def RetryJob(self, request: pb.RetryJobRequest, context: object) -> pb.RetryJobResponse:
        """Put a dead letter, or a job that was cancelled, back."""
        key = request_key_to_proto(current_request_key())
        answer: internal.RetryJobResponse = await self._scheduler.RetryJob(
            internal.RetryJobRequest(request=request, request_key=key)
        )
        return answer.response

    async def WatchJob(self, request: pb.WatchJobRequest, context: object) -> AsyncIterator[pb.WatchJobResponse]:
        """Stream a job at each change."""
        async for change in self._scheduler.WatchJob(internal.WatchJobRequest(request=request)):
            yield change.response
