"""Moments of a vault that have names."""

# ruff: noqa: ASYNC109  # a timeout bounds all attempts, and travels to the server

from collections.abc import AsyncGenerator
from datetime import datetime

from memos_api.v1 import job_pb2, snapshot_service_pb2
from memos_api.v1 import snapshot_service_pb2 as pb
from memos_client._base import Calls, pages
from memos_client._filters import timestamp


class SnapshotCalls(Calls):
    """SnapshotService. Snapshots and vaults are named in full, or by their last part."""

    async def create_snapshot(
        self,
        vault: str,
        *,
        name: str = "",
        as_of: datetime | None = None,
        display_name: str = "",
        request_id: str = "",
        timeout: float | None = None,
    ) -> snapshot_service_pb2.Snapshot:
        """Name a moment of a vault: now, or one of the past.

        Raises:
            MemosError: NotFound (the vault), AlreadyExists (the name), RequestError (a moment that has not come).
        """
        wanted = pb.Snapshot(
            name=self._name("snapshots", name),
            vault=self._name("vaults", vault),
            as_of=timestamp(as_of),
            display_name=display_name,
        )
        request = pb.CreateSnapshotRequest(snapshot=wanted, request_id=request_id)
        answer: pb.CreateSnapshotResponse = await self.call(request, timeout=timeout)
        return answer.snapshot

    async def get_snapshot(self, name: str, *, timeout: float | None = None) -> snapshot_service_pb2.Snapshot:
        """Return one snapshot; read the vault with its `as_of`.

        Raises:
            MemosError: NotFound.
        """
        request = pb.GetSnapshotRequest(name=self._name("snapshots", name))
        answer: pb.GetSnapshotResponse = await self.call(request, timeout=timeout)
        return answer.snapshot

    async def list_snapshots(
        self, vault: str, *, page_size: int = 0
    ) -> AsyncGenerator[snapshot_service_pb2.Snapshot, None]:
        """Yield the snapshots of a vault, the latest moment first.

        Raises:
            MemosError: NotFound (the vault).
        """
        request = pb.ListSnapshotsRequest(vault=self._name("vaults", vault), page_size=page_size)
        async for snapshot in pages(self, request, "snapshots"):
            yield snapshot

    async def delete_snapshot(self, name: str, *, request_id: str = "", timeout: float | None = None) -> None:
        """Forget the name of a moment; the moment can still be read.

        Raises:
            MemosError: NotFound.
        """
        request = pb.DeleteSnapshotRequest(name=self._name("snapshots", name), request_id=request_id)
        await self.call(request, timeout=timeout)

    async def restore_snapshot(self, name: str, *, request_id: str = "", timeout: float | None = None) -> job_pb2.Job:
        """Take a vault back to a snapshot, as a job that can be watched; all of it is new revisions.

        Raises:
            MemosError: NotFound.
        """
        request = pb.RestoreSnapshotRequest(name=self._name("snapshots", name), request_id=request_id)
        answer: pb.RestoreSnapshotResponse = await self.call(request, timeout=timeout)
        return answer.job
