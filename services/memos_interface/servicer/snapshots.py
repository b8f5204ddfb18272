"""SnapshotService: handed on to storage as it is, and the way back to the scheduler, so it has no use case."""

from memos_api.internal.v1 import scheduler_service_pb2 as scheduler
from memos_api.internal.v1 import snapshot_service_pb2 as internal
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.internal.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from memos_api.v1 import job_pb2
from memos_api.v1 import snapshot_service_pb2 as pb
from memos_api.v1 import snapshot_service_pb2_grpc as pb_grpc
from memos_kernel.jobs import AS_OF, RESTORE_VAULT, SNAPSHOT
from memos_runtime.context import current_request_key
from memos_wire.requests import request_key_to_proto


class SnapshotServicer(pb_grpc.SnapshotServiceServicer):
    """Names moments of a vault, and takes the vault back to one."""

    def __init__(self, storage: SnapshotServiceStub, jobs: SchedulerServiceStub) -> None:
        self._storage = storage
        self._jobs = jobs

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: object) -> pb.CreateSnapshotResponse:
        """Name a moment."""
        key = request_key_to_proto(current_request_key())
        answer: internal.CreateSnapshotResponse = await self._storage.CreateSnapshot(
            internal.CreateSnapshotRequest(request=request, request_key=key)
        )
        return answer.response

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: object) -> pb.GetSnapshotResponse:
        """Return one snapshot."""
        answer: internal.GetSnapshotResponse = await self._storage.GetSnapshot(
            internal.GetSnapshotRequest(request=request)
        )
        return answer.response

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: object) -> pb.ListSnapshotsResponse:
        """List the snapshots of a vault."""
        answer: internal.ListSnapshotsResponse = await self._storage.ListSnapshots(
            internal.ListSnapshotsRequest(request=request)
        )
        return answer.response

    async def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, context: object) -> pb.DeleteSnapshotResponse:
        """Forget a snapshot."""
        key = request_key_to_proto(current_request_key())
        answer: internal.DeleteSnapshotResponse = await self._storage.DeleteSnapshot(
            internal.DeleteSnapshotRequest(request=request, request_key=key)
        )
        return answer.response

    async def RestoreSnapshot(self, request: pb.RestoreSnapshotRequest, context: object) -> pb.RestoreSnapshotResponse:
        """Put a job into the queue that takes the vault back."""
        found = await self.GetSnapshot(pb.GetSnapshotRequest(name=request.name), context)
        snapshot = found.snapshot
        job = job_pb2.Job(
            kind=RESTORE_VAULT,
            vaults=[snapshot.vault],
            parameters={SNAPSHOT: snapshot.name, AS_OF: snapshot.as_of.ToJsonString()},
        )
        answer: scheduler.EnqueueJobResponse = await self._jobs.EnqueueJob(
            scheduler.EnqueueJobRequest(job=job, request_key=request_key_to_proto(current_request_key()))
        )
        return pb.RestoreSnapshotResponse(job=answer.job)
