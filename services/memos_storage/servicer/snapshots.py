"""SnapshotService: convert, call a use case, convert."""

from dataclasses import dataclass
from typing import Any

from memos_api.internal.v1 import snapshot_service_pb2 as pb
from memos_api.internal.v1.snapshot_service_pb2_grpc import SnapshotServiceServicer
from memos_api.v1 import snapshot_service_pb2 as public
from memos_kernel.errors import InvalidField
from memos_kernel.names import SnapshotName, VaultName
from memos_runtime.context import current_grant, current_trace
from memos_runtime.paging import page_size
from memos_storage.domain.snapshots import Snapshot
from memos_storage.servicer import messages
from memos_storage.servicer.calls import Pages, mutation_of
from memos_storage.usecases.keep_snapshots import CreateSnapshot, DeleteSnapshot, NewSnapshot, ReadSnapshots
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.restore_cubes import Restoration, RestoreCubes
from memos_wire.times import optional_time, to_timestamp

_LIST = "/memos.internal.v1.SnapshotService/ListSnapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotUseCases:
    """What the servicer calls."""

    create: CreateSnapshot
    read: ReadSnapshots
    delete: DeleteSnapshot
    restore: RestoreCubes


class SnapshotServicer(SnapshotServiceServicer):
    """Serves memos.internal.v1.SnapshotService."""

    def __init__(self, use_cases: SnapshotUseCases, pages: Pages) -> None:
        self._do = use_cases
        self._pages = pages

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Any) -> pb.CreateSnapshotResponse:
        """Name a moment."""
        made = await self._do.create(_wanted(request.request.snapshot), mutation=mutation_of(request))
        return pb.CreateSnapshotResponse(response=public.CreateSnapshotResponse(snapshot=_message(made)))

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: Any) -> pb.GetSnapshotResponse:
        """Return one snapshot."""
        found = await self._do.read.get(SnapshotName.parse(request.request.name), grant=current_grant())
        return pb.GetSnapshotResponse(response=public.GetSnapshotResponse(snapshot=_message(found)))

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Any) -> pb.ListSnapshotsResponse:
        """List snapshots."""
        asked = request.request
        page = self._pages.of(_LIST, asked, asked.page_token, current_grant())
        found, last = await self._do.read.list(
            VaultName.parse(asked.vault, field="vault"),
            after=page.after,
            size=page_size(asked.page_size),
            grant=current_grant(),
        )
        answer = public.ListSnapshotsResponse(
            snapshots=[_message(one) for one in found], next_page_token=page.token(last)
        )
        return pb.ListSnapshotsResponse(response=answer)

    async def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, context: Any) -> pb.DeleteSnapshotResponse:
        """Forget a snapshot."""
        await self._do.delete(SnapshotName.parse(request.request.name), mutation=mutation_of(request))
        return pb.DeleteSnapshotResponse(response=public.DeleteSnapshotResponse())

    async def RestoreMemCubes(self, request: pb.RestoreMemCubesRequest, context: Any) -> pb.RestoreMemCubesResponse:
        """Take a page of cubes back to a moment."""
        work = self._work(request.phase)
        page = await work(
            Restoration(
                vault=VaultName.parse(request.vault, field="vault"),
                as_of=messages.required_time(request, "as_of", field="as_of"),
                begun=messages.required_time(request, "begin_time", field="begin_time"),
            ),
            after=request.after,
            limit=request.limit,
            mutation=Mutation(grant=current_grant(), trace=current_trace()),
        )
        return pb.RestoreMemCubesResponse(
            changed=page.changed, skipped=[str(name) for name in page.skipped], last=page.last
        )

    def _work(self, phase: int) -> Any:
        if phase == pb.RESTORE_PHASE_REMOVE:
            return self._do.restore.remove
        if phase == pb.RESTORE_PHASE_BRING_BACK:
            return self._do.restore.bring_back
        raise InvalidField(f"phase is {phase}; give 1 (REMOVE) or 2 (BRING_BACK).", field="phase")


def _wanted(message: public.Snapshot) -> NewSnapshot:
    return NewSnapshot(
        vault=VaultName.parse(message.vault, field="snapshot.vault"),
        name=SnapshotName.parse(message.name, field="snapshot.name") if message.name else None,
        as_of=optional_time(message, "as_of", field="snapshot.as_of"),
        display_name=message.display_name,
    )


def _message(snapshot: Snapshot) -> public.Snapshot:
    return public.Snapshot(
        name=str(snapshot.name),
        vault=str(snapshot.vault),
        as_of=to_timestamp(snapshot.as_of),
        display_name=snapshot.display_name,
        creator=str(snapshot.creator),
        create_time=to_timestamp(snapshot.create_time),
    )
