"""Sweeper and VaultSweeper over lifecycle's gRPC service."""

from memos_api.internal.v1 import lifecycle_service_pb2 as pb
from memos_api.internal.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from memos_scheduler.ports import SweepStep, VaultRule, VaultStep
from memos_wire.times import to_duration


class LifecycleSweeper:
    """Asks lifecycle."""

    def __init__(self, stub: LifecycleServiceStub) -> None:
        self._stub = stub

    async def sweep(self, *, limit: int) -> SweepStep:
        """See the port."""
        response = await self._stub.SweepExpired(pb.SweepExpiredRequest(limit=limit))
        return SweepStep(expired=response.expired, skipped=response.skipped, more=response.more)


class LifecycleVaultSweeper:
    """Asks lifecycle."""

    def __init__(self, stub: LifecycleServiceStub) -> None:
        self._stub = stub

    async def sweep(self, rule: VaultRule, *, limit: int) -> VaultStep:
        """See the port."""
        request = pb.SweepVaultRequest(
            vault=str(rule.vault),
            cold_after=to_duration(rule.cold_after),
            delete_after=to_duration(rule.delete_after),
            limit=limit,
        )
        response = await self._stub.SweepVault(request)
        return VaultStep(response.archived, response.deleted, response.skipped, response.more)
