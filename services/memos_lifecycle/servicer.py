"""LifecycleService: convert, call the use case, convert."""

from typing import Any

from memos_api.internal.v1 import lifecycle_service_pb2 as pb
from memos_api.internal.v1 import lifecycle_service_pb2_grpc as pb_grpc
from memos_kernel.cube import RevisionRef, State
from memos_kernel.names import CubeName, VaultName
from memos_lifecycle.usecases.freeze_cube import FreezeCube, UnfreezeCube
from memos_lifecycle.usecases.record_use import RecordUse
from memos_lifecycle.usecases.sweep_expired import SweepExpired
from memos_lifecycle.usecases.sweep_vault import SweepVault
from memos_lifecycle.usecases.transition_cube import TransitionCube
from memos_wire.cubes import cube_to_proto, enum_from_proto
from memos_wire.requests import request_key_from_proto
from memos_wire.times import optional_duration, to_timestamp


class LifecycleServicer(pb_grpc.LifecycleServiceServicer):
    """Serves lifecycle. The grant of each call is checked by storage, which applies it as a filter."""

    def __init__(
        self,
        *,
        record_use: RecordUse,
        transition: TransitionCube,
        freeze: FreezeCube,
        unfreeze: UnfreezeCube,
        sweep: SweepExpired,
        sweep_vault: SweepVault,
    ) -> None:
        self._record_use = record_use
        self._transition = transition
        self._freeze = freeze
        self._unfreeze = unfreeze
        self._sweep = sweep
        self._sweep_vault = sweep_vault

    async def RecordUse(self, request: pb.RecordUseRequest, context: Any) -> pb.RecordUseResponse:
        """Add a use to each cube."""
        refs = [
            RevisionRef(CubeName.parse(ref.name, field=f"cubes[{index}].name"), ref.revision)
            for index, ref in enumerate(request.cubes)
        ]
        used = await self._record_use(refs, plan=request.plan)
        return pb.RecordUseResponse(cubes=[cube_to_proto(cube, payload=False) for cube in used])

    async def TransitionMemCube(
        self, request: pb.TransitionMemCubeRequest, context: Any
    ) -> pb.TransitionMemCubeResponse:
        """Move a cube."""
        cube = await self._transition(
            CubeName.parse(request.name),
            enum_from_proto(State, request.target, field="target"),
            etag=request.etag,
            reason=request.reason,
            request=request_key_from_proto(request.request_key),
        )
        return pb.TransitionMemCubeResponse(cube=cube_to_proto(cube, payload=False))

    async def FreezeMemCube(self, request: pb.FreezeMemCubeRequest, context: Any) -> pb.FreezeMemCubeResponse:
        """Freeze a cube."""
        name, key = CubeName.parse(request.name), request_key_from_proto(request.request_key)
        cube = await self._freeze(name, etag=request.etag, reason=request.reason, request=key)
        return pb.FreezeMemCubeResponse(cube=cube_to_proto(cube, payload=False))

    async def UnfreezeMemCube(self, request: pb.UnfreezeMemCubeRequest, context: Any) -> pb.UnfreezeMemCubeResponse:
        """Unfreeze a cube."""
        name, key = CubeName.parse(request.name), request_key_from_proto(request.request_key)
        cube = await self._unfreeze(name, etag=request.etag, reason=request.reason, request=key)
        return pb.UnfreezeMemCubeResponse(cube=cube_to_proto(cube, payload=False))

    async def SweepExpired(self, request: pb.SweepExpiredRequest, context: Any) -> pb.SweepExpiredResponse:
        """Expire what is due."""
        done = await self._sweep(limit=request.limit)
        return pb.SweepExpiredResponse(
            expired=done.expired, skipped=done.skipped, more=done.more, sweep_time=to_timestamp(done.time)
        )

    async def SweepVault(self, request: pb.SweepVaultRequest, context: Any) -> pb.SweepVaultResponse:
        """Carry out the policy of a vault."""
        done = await self._sweep_vault(
            VaultName.parse(request.vault, field="vault"),
            cold_after=optional_duration(request, "cold_after"),
            delete_after=optional_duration(request, "delete_after"),
            limit=request.limit,
        )
        return pb.SweepVaultResponse(archived=done.archived, deleted=done.deleted, skipped=done.skipped, more=done.more)
