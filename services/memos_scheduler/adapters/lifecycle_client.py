"""Sweeper over lifecycle's gRPC service."""

from memos_api.internal.v1 import lifecycle_service_pb2 as pb
from memos_api.internal.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from memos_scheduler.ports import SweepStep


class LifecycleSweeper:
    """Asks lifecycle."""

    def __init__(self, stub: LifecycleServiceStub) -> None:
        self._stub = stub

    async def sweep(self, *, limit: int) -> SweepStep:
        """See the port."""
        response = await self._stub.SweepExpired(pb.SweepExpiredRequest(limit=limit))
        return SweepStep(expired=response.expired, skipped=response.skipped, more=response.more)
