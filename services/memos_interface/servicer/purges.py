"""PurgeService: handed on to storage as it is, and the work to the scheduler, so it has no use case."""

from memos_api.internal.v1 import purge_service_pb2 as internal
from memos_api.internal.v1 import scheduler_service_pb2 as scheduler
from memos_api.internal.v1.purge_service_pb2_grpc import PurgeServiceStub
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.v1 import job_pb2
from memos_api.v1 import purge_service_pb2 as pb
from memos_api.v1 import purge_service_pb2_grpc as pb_grpc
from memos_kernel.jobs import PURGE
from memos_runtime.context import current_request_key
from memos_wire.requests import request_key_to_proto


class PurgeServicer(pb_grpc.PurgeServiceServicer):
    """Erases memories for good."""

    def __init__(self, storage: PurgeServiceStub, jobs: SchedulerServiceStub) -> None:
        self._storage = storage
        self._jobs = jobs

    async def PurgeMemories(self, request: pb.PurgeMemoriesRequest, context: object) -> pb.PurgeMemoriesResponse:
        """Hide what is to be erased, and put a job into the queue that erases it; or count it."""
        key = request_key_to_proto(current_request_key())
        planned: internal.PlanPurgeResponse = await self._storage.PlanPurge(
            internal.PlanPurgeRequest(request=request, request_key=key)
        )
        answer = planned.response
        if answer.HasField("purge"):
            job = job_pb2.Job(kind=PURGE, vaults=[answer.purge.vault], parameters={PURGE: answer.purge.name})
            # Without a job it is not lost: the sweep finds a purge that nobody goes on with.
            queued: scheduler.EnqueueJobResponse = await self._jobs.EnqueueJob(
                scheduler.EnqueueJobRequest(job=job, request_key=key)
            )
            answer.job.CopyFrom(queued.job)
        return answer

    async def GetPurge(self, request: pb.GetPurgeRequest, context: object) -> pb.GetPurgeResponse:
        """Return one purge."""
        answer: internal.GetPurgeResponse = await self._storage.GetPurge(internal.GetPurgeRequest(request=request))
        return answer.response

    async def ListPurges(self, request: pb.ListPurgesRequest, context: object) -> pb.ListPurgesResponse:
        """List the purges of a vault."""
        answer: internal.ListPurgesResponse = await self._storage.ListPurges(
            internal.ListPurgesRequest(request=request)
        )
        return answer.response

    async def LiftPurge(self, request: pb.LiftPurgeRequest, context: object) -> pb.LiftPurgeResponse:
        """Let what was erased be stored again."""
        key = request_key_to_proto(current_request_key())
        answer: internal.LiftPurgeResponse = await self._storage.LiftPurge(
            internal.LiftPurgeRequest(request=request, request_key=key)
        )
        return answer.response
